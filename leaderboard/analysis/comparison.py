"""Runs next to each other: how they were made differently, and whether one scored better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from leaderboard import stats
from leaderboard.analysis import classes
from leaderboard.records.record import Record
from leaderboard.stats import Difference

# What a run found, or what it is called, in contrast to how it was made.
RESULT_FIELDS = {
    "run_id",
    "created",
    "message",
    "failed_stage",
    "interrupted",
    "explicit_options",
    "sampled",
    "accuracies",
    "accuracy_mean",
    "accuracy_std",
    "accuracy_ci95",
    "other_students",
    "seconds",
    "images_per_second",
    "model_licence",
    "not_comparable_because",
    "origin",
    "scoring",
    "checks",
    "official",
    "metadata",
    "confusion",
    "schema",
}
GROUPED_FIELDS = ("options", "hardware", "versions")  # compared entry by entry
# Where these differ, a difference of the scores says nothing about the sets.
REQUIRED_EQUAL = ("dataset", "recipe_sha256", "student", "data_sha256")


@dataclass(frozen=True)
class Comparison:
    """Several runs compared with the first of them.

    Attributes:
        runs: two or more.
        settings: the values of all runs, by name of the setting, where they are not all equal.
        differences: of the score of each other run, less that of the first; or text that says why
            there is none.
        classes: name of each class, with its accuracy in each run; empty where the runs do not
            have the same classes.
    """

    runs: list[Record]
    settings: dict[str, list[Any]]
    differences: list[Difference | str]
    classes: list[tuple[str, list[float]]]


def compare(runs: Sequence[Record], names: Sequence[Sequence[str]]) -> Comparison:
    """Return the comparison of ``runs``, where ``names`` are the class names of each.

    Raises:
        ValueError: there are fewer than two runs.
    """
    if len(runs) < 2:
        raise ValueError("a comparison needs two runs or more")
    return Comparison(
        list(runs),
        _settings(runs),
        [_difference(runs[0], other) for other in runs[1:]],
        _classes(runs, names),
    )


def _settings(runs: Sequence[Record]) -> dict[str, list[Any]]:
    left_out = RESULT_FIELDS.union(GROUPED_FIELDS)
    names = [field.name for field in fields(Record) if field.name not in left_out]
    values = {name: [getattr(run, name) for run in runs] for name in names}
    for group in GROUPED_FIELDS:
        for key in dict.fromkeys(key for run in runs for key in getattr(run, group)):
            values[f"{group}.{key}"] = [getattr(run, group).get(key) for run in runs]
    values["seconds.limit"] = [run.seconds.limit for run in runs]
    return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def _difference(first: Record, other: Record) -> Difference | str:
    differing = [
        name.removesuffix("_sha256")
        for name in REQUIRED_EQUAL
        if getattr(first, name) != getattr(other, name)
    ]
    if differing:
        return f"not comparable with the first: another {' and another '.join(differing)}"
    if not (first.accuracies and other.accuracies):
        return "not scored"
    return stats.difference(first.accuracies, other.accuracies, first.seeds == other.seeds)


def _classes(
    runs: Sequence[Record], names: Sequence[Sequence[str]]
) -> list[tuple[str, list[float]]]:
    first = runs[0]
    if any(run.dataset != first.dataset for run in runs) or not first.confusion:
        return []
    if any(len(run.confusion or []) != len(first.confusion) for run in runs):
        return []
    if any(list(of_run) != list(names[0]) for of_run in names):
        return []
    by_run = [classes.accuracies(run, names[0]) for run in runs]
    return [
        (each[0].name, [result.accuracy for result in each]) for each in zip(*by_run, strict=True)
    ]


def to_json(comparison: Comparison) -> str:
    """Return the comparison as JSON."""
    differences = [
        {"reason": difference}
        if isinstance(difference, str)
        else {**asdict(difference), "differs": difference.is_significant}
        for difference in comparison.differences
    ]
    document = {
        "runs": [run.run_id for run in comparison.runs],
        "settings": comparison.settings,
        "accuracies": [run.accuracies for run in comparison.runs],
        "against_first": differences,
        "classes": [{"class": name, "accuracies": values} for name, values in comparison.classes],
    }
    return json.dumps(document, indent=1)
