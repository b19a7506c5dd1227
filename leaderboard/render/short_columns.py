"""The columns that matter most: those of tables in a terminal and in a paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from leaderboard.analysis.ranking import MeanRow, Row
from leaderboard.render.columns import Column, percent

# Scores, which are shown with half of their interval.
SCORES = ("accuracy", "mean")
# Columns that are left out, by table.
NOT_IN_TERMINAL = (
    "images",
    "interval",
    "images/s",
    "device-seconds",
    "limit",
    "model",
    "hardware",
    "date",
    "run",
    "protocol",
)
NOT_IN_PAPER = (*NOT_IN_TERMINAL, "rank", "n", "time", "status", "missing")


def terminal(known: Sequence[Column[Any]]) -> list[Column[Any]]:
    """Return the columns of runs or of means for a terminal."""
    # Tables of means have a column for each dataset, and no room for more.
    has_means = any(column.name == "mean" for column in known)
    return _without(known, (*NOT_IN_TERMINAL, "n") if has_means else NOT_IN_TERMINAL)


def paper(known: Sequence[Column[Any]]) -> list[Column[Any]]:
    """Return the columns of runs or of means for a paper."""
    return _without(known, NOT_IN_PAPER)


def _without(known: Iterable[Column[Any]], names: Sequence[str]) -> list[Column[Any]]:
    """Return the columns but for those called ``names``.

    Scores get half of their interval if there is a column of intervals.
    """
    has_intervals = any(column.name == "interval" for column in known)
    kept = [column for column in known if column.name not in names]
    return [
        replace(one, text=score) if has_intervals and one.name in SCORES else one for one in kept
    ]


def score(row: Row | MeanRow) -> str:
    """Return a mean accuracy with half the width of its 95 % interval, in per cent."""
    mean, bounds = percent(row.accuracy_mean), row.accuracy_ci95
    return f"{mean} ± {percent((bounds[1] - bounds[0]) / 2)}" if bounds else mean
