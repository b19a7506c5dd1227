"""Which runs are the same result, and which of them counts."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import lru_cache

from leaderboard.analysis.groups import grouped
from leaderboard.analysis.standing import Standing
from leaderboard.text import name_key


def distinct(runs: Iterable[Standing]) -> list[Standing]:
    """Return the runs that count, each once, even if several runs folders contain it."""
    first: dict[Hashable, Standing] = {}
    for run in _preferred_first(runs):
        first.setdefault((name_key(run.method), _result(run)), run)
    return list(first.values())


def conflicts(runs: Iterable[Standing]) -> list[str]:
    """Return a line for each run whose accuracies differ from those of a run with the same images.

    One of the two runs is wrong, or they were computed with different rounding.
    """
    lines = []
    for same in grouped(_preferred_first(runs), _result).values():
        differing = [run for run in same if run.accuracies != same[0].accuracies]
        shown = distinct(same) if differing else []
        lines += [
            f"run {run.run_id} ({_score(run)}) has the same images, recipe and seeds as "
            f"run {same[0].run_id} ({_score(same[0])}), but different accuracies"
            f"{'' if run in shown else '; it is hidden'}"
            for run in differing
        ]
    return lines


def _score(run: Standing) -> str:
    return f"{run.method}, {100 * (run.accuracy_mean or 0):.2f} %"


def _preferred_first(runs: Iterable[Standing]) -> list[Standing]:
    """Return the runs, of duplicates first the one that counts."""
    return sorted(
        runs,
        key=lambda run: (not run.comparable, not run.limit_enforced, run.created, run.run_id),
    )


def _result(run: Standing) -> Hashable:
    """Return what runs with the same images and scoring share.

    A run that was not scored shares it only with its own copies.
    """
    if not (run.images_sha256 and run.accuracies):
        return run.run_id, run.track, run.dataset, run.method
    return (
        run.track,
        run.dataset,
        run.images_sha256,
        run.rules.sha256 if run.rules else None,
        run.recipe_sha256,
        run.data_sha256,
        run.student,
        _in_order(run.seeds),
    )


@lru_cache(maxsize=1000)
def _in_order(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Return sorted seeds. Most runs have seeds in common, which then take memory only once."""
    return tuple(sorted(seeds))


def hashes(run: Standing) -> dict[str, str | None]:
    """Return the hashes of what runs must share to be ranked together."""
    return {
        "rules": run.rules.sha256 if run.rules else None,
        "recipe": run.recipe_sha256,
        "test images": run.data_sha256,
    }
