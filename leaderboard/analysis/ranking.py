"""Rank runs where that is fair, and average them over the datasets of a track."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TypeVar

from leaderboard import stats
from leaderboard.records.record import Record

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Row:
    """A run in the leaderboard. Rows are equal only to themselves, and so can be keys.

    Attributes:
        rank: as text, for example ``1`` or ``2-3``; empty where the run is not ranked.
    """

    record: Record
    rank: str = ""

    @property
    def n(self) -> int:
        """Return the number of evaluation seeds."""
        return self.record.n

    @property
    def accuracy_mean(self) -> float | None:
        """Return the mean accuracy over the seeds, a fraction."""
        return self.record.accuracy_mean

    @property
    def accuracy_ci95(self) -> list[float] | None:
        """Return the 95 % t interval of the mean over the seeds, [low, high]."""
        return self.record.accuracy_ci95

    @property
    def is_comparable(self) -> bool:
        """Return whether the run finished well and kept to the rules of its track."""
        return self.record.comparable and self.record.status == "ok"


@dataclass(frozen=True, eq=False)
class MeanRow:
    """The score of one entrant on a track over several datasets; a key like a `Row`.

    An entrant is a method with its options, model and seed, or a team.

    Attributes:
        record: the oldest run of the entrant, which tells what all its runs have in common.
        datasets: all datasets of the track, in its order.
        runs: the run that counts for a dataset: the oldest comparable one.
        accuracies: the mean over the datasets, for each evaluation seed; empty: there is no mean.
        accuracy_ci95: 95 % t interval of the mean over the seeds, [low, high].
        missing: why there is no mean, for people.
        rank: as that of a `Row`.
    """

    record: Record
    datasets: tuple[str, ...]
    runs: dict[str, Record] = field(default_factory=dict)
    accuracies: list[float] = field(default_factory=list)
    accuracy_mean: float | None = None
    accuracy_ci95: list[float] | None = None
    missing: str = ""
    rank: str = ""

    @property
    def n(self) -> int:
        """Return the number of evaluation seeds."""
        return len(self.accuracies)


def rows(records: Iterable[Record], track: str | None = None) -> list[Row]:
    """Return a row for each run, best first within a track and dataset.

    Runs of a track with equal images, recipe, student and seeds count once: the oldest comparable
    one. Ranked together are the comparable runs of one track, dataset and category; those whose
    time limit was enforced apart from those that only declare it.
    """
    kept = distinct(record for record in records if track in (None, record.track))
    ordered = sorted(
        kept,
        key=lambda r: (
            r.track,
            r.dataset,
            not r.limit_enforced,
            r.category,
            -_mean_or_less(r.accuracy_mean),
            r.created,
        ),
    )
    unranked = [Row(record) for record in ordered]
    ranks = _ranks(
        [row.record.accuracies if row.is_comparable else [] for row in unranked],
        [(r.track, r.dataset, r.category, r.limit_enforced) for r in ordered],
    )
    return [Row(record, rank) for record, rank in zip(ordered, ranks, strict=True)]


def means(rows: Iterable[Row], datasets: Mapping[str, Sequence[str]]) -> list[MeanRow]:
    """Return a row for each entrant with a comparable run on a track over several datasets.

    The best comes first. There is no mean where a dataset has no comparable run, or the runs have
    different evaluation seeds.

    Args:
        rows: as from `rows`.
        datasets: names of the datasets of each track.
    """
    oldest_first = sorted(rows, key=lambda row: row.record.created)
    members = [row for row in oldest_first if row.record.dataset in _several(row, datasets)]
    entrants = grouped(members, key=lambda row: _entrant(row.record))
    unranked = [_mean(group, tuple(_several(group[0], datasets))) for group in entrants.values()]
    ordered = sorted(
        (row for row in unranked if row.runs),
        key=lambda row: (
            row.record.track,
            not row.record.limit_enforced,
            row.record.category,
            -_mean_or_less(row.accuracy_mean),
            row.record.created,
        ),
    )
    ranks = _ranks(
        [row.accuracies for row in ordered],
        [(row.record.track, row.record.category, row.record.limit_enforced) for row in ordered],
    )
    return [replace(row, rank=rank) for row, rank in zip(ordered, ranks, strict=True)]


def _several(row: Row, datasets: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the datasets of the row's track where they are several."""
    names = datasets.get(row.record.track, ())
    return names if len(names) > 1 else ()


def _entrant(record: Record) -> Hashable:
    return (
        record.track,
        record.method,
        tuple(record.explicit_options),
        record.model,
        record.seed,
        record.limit_enforced,
        record.category,
    )


def _mean(rows: Sequence[Row], datasets: tuple[str, ...]) -> MeanRow:
    """Return the mean of one entrant's runs, oldest first, over ``datasets`` for each seed."""
    scored = [row.record for row in rows if row.is_comparable and row.record.accuracies]
    runs = {name: group[0] for name, group in grouped(scored, lambda run: run.dataset).items()}
    problems = [f"no comparable run on {name}" for name in datasets if name not in runs]
    if not problems and len({tuple(run.seeds) for run in runs.values()}) > 1:
        problems = ["runs with different evaluation seeds"]
    by_seed = zip(*(run.accuracies for run in runs.values()), strict=True) if not problems else ()
    accuracies = [fmean(values) for values in by_seed]
    mean, _, interval = stats.summary(accuracies)
    return MeanRow(
        record=rows[0].record,
        datasets=datasets,
        runs=runs,
        accuracies=accuracies,
        accuracy_mean=mean,
        accuracy_ci95=interval,
        missing="; ".join(problems),
    )


def _mean_or_less(mean: float | None) -> float:
    """Return a key for sorting that puts a run without score below one that scored nothing."""
    return -1.0 if mean is None else mean


def _ranks(accuracies: Sequence[Sequence[float]], groups: Sequence[Hashable]) -> list[str]:
    """Return a rank for each entry among those of its group; empty for one without accuracies."""
    ranks = [""] * len(accuracies)
    scored = [index for index, values in enumerate(accuracies) if values]
    for indices in grouped(scored, key=lambda index: groups[index]).values():
        texts = stats.ranks([accuracies[index] for index in indices])
        for index, text in zip(indices, texts, strict=True):
            ranks[index] = text
    return ranks


def distinct(records: Iterable[Record]) -> list[Record]:
    """Return the runs that count, each once, however many stores it lies in."""
    return [group[0] for group in _duplicates(records)]


def conflicts(records: Iterable[Record]) -> list[str]:
    """Return a line for each hidden duplicate whose accuracies differ from those of its row.

    One of the two is wrong, or was computed with other rounding.
    """
    return [
        f"run {hidden.run_id} ({_score(hidden)}) is hidden: it has the same images, recipe and "
        f"seeds as run {shown.run_id} ({_score(shown)}), but other accuracies"
        for shown, *others in _duplicates(records)
        for hidden in others
        if hidden.accuracies != shown.accuracies
    ]


def _score(record: Record) -> str:
    return f"{record.method}, {100 * (record.accuracy_mean or 0):.2f} %"


def _duplicates(records: Iterable[Record]) -> list[list[Record]]:
    """Return groups of runs that count once, the one that counts first."""
    preferred_first = sorted(
        records, key=lambda r: (not r.comparable, not r.limit_enforced, r.created, r.run_id)
    )
    return list(grouped(preferred_first, _result).values())


def _result(record: Record) -> Hashable:
    """Return what equal results have in common; without scored images the run itself."""
    if not (record.images_sha256 and record.accuracies):
        return record.run_id, record.track, record.dataset, record.method
    return (
        record.track,
        record.images_sha256,
        record.dataset,
        record.recipe_sha256,
        record.student,
        tuple(record.seeds),
    )


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return ``items`` by ``key``, both in the order in which they come."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
