"""Compare runs: how their settings differ, and whether one scored better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from leaderboard import stats
from leaderboard.analysis import classes
from leaderboard.records.record import Record
from leaderboard.stats import Difference

# Fields with the results or the identity of a run, in contrast to its settings.
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
    "sessions",
    "scoring",
    "checks",
    "copies",
    "official",
    "metadata",
    "confusion",
    "schema",
}
# Fields that are compared entry by entry.
GROUPED_FIELDS = ("options", "hardware", "versions")
# If one of these differs, a difference in scores says nothing about the sets.
REQUIRED_EQUAL = ("dataset", "recipe_sha256", "student", "data_sha256")


@dataclass(frozen=True)
class Comparison:
    """Several runs compared with the first of them.

    Attributes:
        runs: two or more runs.
        settings: settings that are not the same in all runs: the values of all runs, by name.
        differences: for each run but the first, its score minus that of the first, or text that
            explains why the two can't be compared.
        classes: name of each class and its accuracy in each run. Empty unless all runs have the
            same classes.
    """

    runs: list[Record]
    settings: dict[str, list[Any]]
    differences: list[Difference | str]
    classes: list[tuple[str, list[float]]]


def compare(runs: Sequence[Record], names: Sequence[Sequence[str]]) -> Comparison:
    """Return the comparison of ``runs``. ``names`` has the class names of each run.

    Raises:
        ValueError: there are fewer than two runs.
    """
    if len(runs) < 2:
        raise ValueError("a comparison needs at least two runs")
    return Comparison(
        list(runs),
        _settings(runs),
        [_difference(runs[0], other) for other in runs[1:]],
        _classes(runs, names),
    )


def _settings(runs: Sequence[Record]) -> dict[str, list[Any]]:
    left_out = RESULT_FIELDS.union(GROUPED_FIELDS, ["rules"])
    names = [field.name for field in fields(Record) if field.name not in left_out]
    values = {name: [getattr(run, name) for run in runs] for name in names}
    for group in GROUPED_FIELDS:
        for key in dict.fromkeys(key for run in runs for key in getattr(run, group)):
            values[f"{group}.{key}"] = [getattr(run, group).get(key) for run in runs]
    values["rules"] = [run.rules.sha256 if run.rules else None for run in runs]
    values["seconds.limit"] = [run.seconds.limit for run in runs]
    return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def _difference(first: Record, other: Record) -> Difference | str:
    differing = [
        name.removesuffix("_sha256")
        for name in REQUIRED_EQUAL
        if getattr(first, name) != getattr(other, name)
    ]
    if differing:
        return f"not comparable with the first run: different {' and '.join(differing)}"
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
