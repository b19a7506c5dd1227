"""A comparison of runs as tables."""

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
Setting = tuple[str, Sequence[Any]]  # name, and the value of each run
ClassAccuracies = tuple[str, Sequence[float]]  # name, and the accuracy in each run


@dataclass(frozen=True)
class Score:
    """A run in a comparison: its letter, and in words how it differs from the first."""

    label: str
    record: Record
    verdict: str


SCORE: tuple[Column[Score], ...] = (
    Column("", lambda score: score.label),
    Column("run", lambda score: score.record.run_id),
    Column("method", lambda score: columns.method_name(score.record)),
    Column("score", lambda score: report.accuracy(score.record), "long"),
    Column("against the first", lambda score: score.verdict, "long"),
)


def describe(comparison: Comparison) -> str:
    """Return the comparison as text."""
    parts = (scores(comparison), settings(comparison), classes(comparison))
    return "\n\n".join(tables.text(table) for table in parts if table.rows)


def scores(comparison: Comparison) -> Table[Score]:
    """Return a row for each run."""
    verdicts = ["the others are compared with this one", *map(verdict, comparison.differences)]
    rows = map(Score, labels(comparison), comparison.runs, verdicts)
    return Table("The first run, and the others compared with it", SCORE, list(rows))


def settings(comparison: Comparison) -> Table[Setting]:
    """Return a row for each setting that differs, with a column for each run."""
    values: list[Column[Setting]] = [
        Column(label, _setting(index)) for index, label in enumerate(labels(comparison))
    ]
    name: Column[Setting] = Column("setting", lambda row: row[0])
    return Table("What differs", [name, *values], list(comparison.settings.items()))


def classes(comparison: Comparison) -> Table[ClassAccuracies]:
    """Return a row for each class, the largest change of the second run first.

    For each run it has the accuracy in per cent, and the gain over the first run in points.
    """
    first, *others = labels(comparison)
    shown: list[Column[ClassAccuracies]] = [
        Column("class", lambda row: row[0]),
        Column(f"{first} %", _class_percent(0), "number"),
    ]
    for index, label in enumerate(others, 1):
        shown.append(Column(f"{label} %", _class_percent(index), "number"))
        shown.append(Column(f"{label} - {first}", _gain(index), "number"))
    rows = sorted(comparison.classes, key=lambda row: -abs(row[1][1] - row[1][0]))
    title = "Accuracy of each class over all seeds in per cent, and gains over the first in points"
    return Table(title, shown, rows)


def _setting(index: int) -> Callable[[Setting], str]:
    """Return the text of a value; hashes are cut, since their beginning tells them apart."""

    def text(row: Setting) -> str:
        value = "" if row[1][index] is None else str(row[1][index])
        return f"{value[:12]}..." if HASH.fullmatch(value) else value

    return text


def _class_percent(index: int) -> Callable[[ClassAccuracies], str]:
    return lambda row: columns.percent(row[1][index], 1)


def _gain(index: int) -> Callable[[ClassAccuracies], str]:
    return lambda row: f"{100 * (row[1][index] - row[1][0]):+.1f}"


def labels(comparison: Comparison) -> list[str]:
    """Return A, B, C, ... for the runs; numbers where letters do not suffice."""
    count = len(comparison.runs)
    return [chr(ord("A") + index) if count <= 26 else str(index + 1) for index in range(count)]


def verdict(difference: Difference | str) -> str:
    """Return a difference in words, accuracies in percentage points."""
    if isinstance(difference, str):
        return difference
    points = f"{100 * difference.mean:+.2f} points"
    if difference.ci95 is None or difference.p is None:
        return f"{points}; too few or too equal values for a test"
    low, high = (100 * end for end in difference.ci95)
    if difference.is_significant:
        found = f"{'better' if difference.mean > 0 else 'worse'} by Welch's test"
    else:
        found = "no difference found by Welch's test"
    paired = "" if difference.paired is None else f", paired {_p(difference.paired)}"
    test = f"{found}, {_p(difference.p)}{paired}"
    return f"{points}, 95 % interval {low:+.2f} to {high:+.2f}: {test}"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
