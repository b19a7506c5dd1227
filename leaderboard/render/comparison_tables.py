"""Tables of a comparison of runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.analysis.comparison import Comparison
from leaderboard.records.record import Record
from leaderboard.render import columns, report, tables
from leaderboard.render.columns import Column, Table
from leaderboard.stats import Difference

HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Name of a setting, and its value in each run.
Setting = tuple[str, Sequence[Any]]
# Name of a class, and its accuracy in each run.
ClassAccuracies = tuple[str, Sequence[float]]


@dataclass(frozen=True)
class Score:
    """A run in a comparison: its label, and its difference from the first run in words."""

    label: str
    record: Record
    verdict: str


SCORE: tuple[Column[Score], ...] = (
    Column("label", "Label of the run in this comparison.", lambda score: score.label),
    Column("run", "Id of the run.", lambda score: score.record.run_id),
    Column(
        "method",
        "Name of the method with the options that were set, or name of the team.",
        lambda score: columns.method_name(score.record),
    ),
    Column(
        "score",
        "Mean accuracy over n evaluation seeds in per cent, its 95 % t interval, and the accuracy "
        "of each seed.",
        lambda score: report.accuracy(score.record),
        "long",
    ),
    Column(
        "compared with the first",
        "Score minus the score of the first run in percentage points, with a 95 % interval and the "
        "p-value of Welch's test. The paired test is shown if both runs have the same seeds.",
        lambda score: score.verdict,
        "long",
    ),
)


def describe(comparison: Comparison) -> str:
    """Return the comparison as text for a terminal."""
    parts = (scores(comparison), settings(comparison), classes(comparison))
    return "\n\n".join(tables.text(table) for table in parts if table.rows)


def scores(comparison: Comparison) -> Table[Score]:
    """Return the table of scores, with a row for each run."""
    verdicts = ["reference", *map(verdict, comparison.differences)]
    rows = map(Score, labels(comparison), comparison.runs, verdicts)
    return Table("Scores, each compared with the first", SCORE, list(rows))


def settings(comparison: Comparison) -> Table[Setting]:
    """Return the table of settings that differ, with a column for each run."""
    values: list[Column[Setting]] = [
        Column(label, f"Value in run {label}.", _setting(index))
        for index, label in enumerate(labels(comparison))
    ]
    name: Column[Setting] = Column(
        "setting", "Setting that is not the same in all runs.", lambda row: row[0]
    )
    return Table("Settings that differ", [name, *values], list(comparison.settings.items()))


def classes(comparison: Comparison) -> Table[ClassAccuracies]:
    """Return the table of classes, with the largest change in the second run first.

    Each run has its accuracy in per cent. All but the first also have their gain over the first in
    percentage points.
    """
    first, *others = labels(comparison)
    shown: list[Column[ClassAccuracies]] = [
        Column("class", "True class of the test images.", lambda row: row[0]),
        _class_accuracy(first, 0),
    ]
    for index, label in enumerate(others, 1):
        meaning = f"Accuracy of run {label} minus that of run {first}, in percentage points."
        shown.append(_class_accuracy(label, index))
        shown.append(Column(f"{label} - {first}", meaning, _gain(index), "number"))
    rows = sorted(comparison.classes, key=lambda row: -abs(row[1][1] - row[1][0]))
    return Table("Accuracy of each class over all seeds", shown, rows)


def _setting(index: int) -> Callable[[Setting], str]:
    """Return a function for the text of a value. Hashes are shortened to their beginning."""

    def text(row: Setting) -> str:
        value = "" if row[1][index] is None else str(row[1][index])
        return f"{value[:12]}..." if HASH.fullmatch(value) else value

    return text


def _class_accuracy(label: str, index: int) -> Column[ClassAccuracies]:
    return Column(
        f"{label} %",
        f"Accuracy of the class in run {label}, in per cent.",
        lambda row: columns.percent(row[1][index], 1),
        "number",
    )


def _gain(index: int) -> Callable[[ClassAccuracies], str]:
    return lambda row: f"{100 * (row[1][index] - row[1][0]):+.1f}"


def labels(comparison: Comparison) -> list[str]:
    """Return the labels of the runs: A, B, C, ..., or numbers if there are more than 26 runs."""
    count = len(comparison.runs)
    return [chr(ord("A") + index) if count <= 26 else str(index + 1) for index in range(count)]


def verdict(difference: Difference | str) -> str:
    """Return a difference in words, in percentage points of accuracy."""
    if isinstance(difference, str):
        return difference
    points = f"{100 * difference.mean:+.2f} points"
    if difference.ci95 is None or difference.p is None:
        return f"{points}; too few values, or too little variation, for a test"
    low, high = (100 * end for end in difference.ci95)
    if difference.is_significant:
        found = f"significantly {'better' if difference.mean > 0 else 'worse'}"
    else:
        found = "no significant difference"
    paired = "" if difference.paired is None else f"; paired test: {_p(difference.paired)}"
    test = f"Welch's test: {_p(difference.p)}{paired}"
    return f"{points}, 95 % interval {low:+.2f} to {high:+.2f}: {found} ({test})"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
