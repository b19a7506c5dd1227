"""Runs beside each other: in what they were made differently, whether one scored better, and on which classes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from leaderboard.analysis import stats
from leaderboard.analysis.ranking import FIELDS
from leaderboard.analysis.stats import Difference
from leaderboard.records.record import Record
from leaderboard.render import report
from leaderboard.text import one_line as line

RESULTS = {
    "run_id",
    "created",
    "message",
    "explicit_options",
    "sampled",
    "accuracies",
    "accuracy_mean",
    "accuracy_std",
    "accuracy_ci95",
    "other_students",
    "seconds",
    "confusion",
}
RESULTS |= {
    "images_per_second",
    "not_comparable_because",
    "metadata",
    "failed_stage",
    "interrupted",
    "origin",
    "scoring",
    "checks",
    "official",
    "model_licence",
    "schema",
}  # what a run found or is called, instead of how it was made
GROUPED = ("options", "hardware", "versions")  # compared entry by entry
SAME = (
    "dataset",
    "recipe_sha256",
    "student",
    "data_sha256",
)  # without these a difference of scores says nothing about the sets


@dataclass(frozen=True)
class Comparison:
    """Of runs with the first of them.

    ``settings``: the values of each run, by name, where they are not all equal. ``differences``: of each other run's score less the first's;
    text: why there is none. ``classes``: a row for each class with its accuracy in each run, empty where the classes are not the same.
    """

    runs: list[Record]
    settings: dict[str, list[Any]]
    differences: list[Difference | str]
    classes: list[tuple[str, list[float]]]


def compare(runs: Sequence[Record], names: Sequence[Sequence[str]]) -> Comparison:
    """``names``: of the classes of each run (`report.class_names`).

    Raises:
        ValueError: fewer than two runs.
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
    values = {
        name: [getattr(run, name) for run in runs]
        for name in FIELDS
        if name not in RESULTS and name not in GROUPED
    }
    for group in GROUPED:
        for name in dict.fromkeys(key for run in runs for key in getattr(run, group)):
            values[f"{group}.{name}"] = [getattr(run, group).get(name) for run in runs]
    values["seconds.limit"] = [run.seconds.limit for run in runs]
    return {name: found for name, found in values.items() if any(one != found[0] for one in found)}


def _difference(first: Record, other: Record) -> Difference | str:
    apart = [
        name.removesuffix("_sha256")
        for name in SAME
        if getattr(first, name) != getattr(other, name)
    ]
    if apart:
        return f"not comparable with the first: another {' and another '.join(apart)}"
    if not (first.accuracies and other.accuracies):
        return "not scored"
    return stats.difference(first.accuracies, other.accuracies, first.seeds == other.seeds)


def _classes(
    runs: Sequence[Record], names: Sequence[Sequence[str]]
) -> list[tuple[str, list[float]]]:
    if any(
        run.dataset != runs[0].dataset
        or not run.confusion
        or len(run.confusion) != len(runs[0].confusion or [])
        for run in runs
    ):
        return []
    if any(list(of_run) != list(names[0]) for of_run in names):
        return []
    return [(name, [_share(run, label) for run in runs]) for label, name in enumerate(names[0])]


def _share(run: Record, label: int) -> float:
    row = (run.confusion or [])[label]
    return row[label] / max(sum(row), 1)


def verdict(difference: Difference | str) -> str:
    """In words, accuracies in percentage points."""
    if isinstance(difference, str):
        return difference
    if difference.ci95 is None or difference.p is None:
        return f"{100 * difference.mean:+.2f} points; too few or too equal values for a test"
    low, high = (100 * end for end in difference.ci95)
    paired = "" if difference.paired is None else f", paired {_p(difference.paired)}"
    said = "better" if difference.mean > 0 else "worse"
    found = (
        f"{said} by Welch's test" if difference.is_one else "no difference found by Welch's test"
    )
    return f"{100 * difference.mean:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}: {found}, {_p(difference.p)}{paired}"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def scores(found: Comparison) -> list[dict[str, str]]:
    """A row for each run."""
    against = ["the others are compared with this one", *map(verdict, found.differences)]
    return [
        {
            "": label,
            "run": run.run_id,
            "method": " ".join([run.method, *run.explicit_options]),
            "score": report.accuracy(run),
            "against the first": words,
        }
        for label, run, words in zip(labels(found), found.runs, against, strict=True)
    ]


def settings(found: Comparison) -> list[dict[str, str]]:
    return [
        {"setting": name, **dict(zip(labels(found), map(_text, values), strict=True))}
        for name, values in found.settings.items()
    ]


def classes(found: Comparison) -> list[dict[str, str]]:
    """Accuracies in per cent, and what each run gains over the first in points; largest change of the second run first."""
    head, *others = labels(found)
    rows = []
    for name, shares in sorted(found.classes, key=lambda row: -abs(row[1][1] - row[1][0])):
        row = {"class": name, f"{head} %": f"{100 * shares[0]:.1f}"}
        for label, share in zip(others, shares[1:], strict=True):
            row |= {
                f"{label} %": f"{100 * share:.1f}",
                f"{label} - {head}": f"{100 * (share - shares[0]):+.1f}",
            }
        rows.append(row)
    return rows


def labels(found: Comparison) -> list[str]:
    """A, B, C ...; numbers where letters don't suffice."""
    return [
        chr(ord("A") + number) if len(found.runs) <= 26 else str(number + 1)
        for number in range(len(found.runs))
    ]


def describe(found: Comparison) -> str:
    """The comparison as text."""
    from tabulate import tabulate

    tables = [scores(found), settings(found), classes(found)]
    safe = [[{key: line(value) for key, value in row.items()} for row in rows] for rows in tables]
    return "\n\n".join(
        tabulate(rows, headers="keys", disable_numparse=True) for rows in safe if rows
    )


def to_json(found: Comparison) -> str:
    differences = [
        {"reason": one} if isinstance(one, str) else {**asdict(one), "differs": one.is_one}
        for one in found.differences
    ]
    document = {
        "runs": [run.run_id for run in found.runs],
        "settings": found.settings,
        "accuracies": [run.accuracies for run in found.runs],
        "against_first": differences,
        "classes": [{"class": name, "accuracies": shares} for name, shares in found.classes],
    }
    return json.dumps(document, indent=1)


def _text(value: Any) -> str:
    """Hashes are cut, since their beginning tells them apart."""
    text = "" if value is None else str(value)
    return f"{text[:12]}..." if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else text
