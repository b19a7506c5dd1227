"""Find runs that can't both be right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from leaderboard.analysis.board import Board
from leaderboard.analysis.standing import Standing


def conflicts(board: Board) -> Iterator[str]:
    """Yield a line for each run whose accuracies differ from those of a run with the same images.

    One of the two runs is wrong, or they were computed with different rounding.
    """
    for _, (first, *others) in groupby(board.disputed(), lambda run: run.result):
        makers = {first.maker}
        for run in others:
            if run.accuracies != first.accuracies:
                yield (
                    f"run {run.run_id} ({_score(run)}) has the same images, recipe and seeds as "
                    f"run {first.run_id} ({_score(first)}), but different accuracies"
                    f"{'; it is hidden' if run.maker in makers else ''}"
                )
            makers.add(run.maker)


def _score(run: Standing) -> str:
    return f"{run.method}, {100 * (run.accuracy_mean or 0):.2f} %"
