"""Rank comparable runs, and average them over the datasets of a track."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TypeVar

from leaderboard import stats
from leaderboard.records.record import Record
from leaderboard.text import name_key

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Row:
    """A run in the leaderboard. Rows compare by identity, so that they can be keys of a dict.

    Attributes:
        record: the record of the run.
        rank: the rank as text, for example ``1`` or ``2-3``. Empty if the run is not ranked.
        same_images_as: other methods and teams with the same images on this track and dataset.
        version: the hashes that tell the rules, recipe or test images of the run from those of
            other runs on this track and dataset; empty if all have the same.
    """

    record: Record
    rank: str = ""
    same_images_as: tuple[str, ...] = ()
    version: str = ""

    @property
    def remarks(self) -> list[str]:
        """Return what tables say about the run beside its status."""
        others = ", ".join(self.same_images_as)
        return [*([f"same images as {others}"] if others else []), *filter(None, [self.version])]

    @property
    def n(self) -> int:
        """Return the number of evaluation seeds."""
        return self.record.n

    @property
    def accuracy_mean(self) -> float | None:
        """Return the mean accuracy over the seeds, as a fraction."""
        return self.record.accuracy_mean

    @property
    def accuracy_ci95(self) -> list[float] | None:
        """Return the 95 % t interval of the mean over the seeds, [low, high]."""
        return self.record.accuracy_ci95

    @property
    def is_comparable(self) -> bool:
        """Return whether the run succeeded and followed all rules of its track."""
        return self.record.comparable and self.record.status == "ok"


@dataclass(frozen=True, eq=False)
class MeanRow:
    """The score of one entry on a track with several datasets. Compares by identity, as `Row` does.

    An entry is a team, or a method with its explicit options, model and seed.

    Attributes:
        record: the oldest run of the entry. It stands for what all runs of the entry share.
        datasets: all datasets of the track, in the track's order.
        runs: the run that counts for each dataset: the oldest comparable one.
        accuracies: the mean over the datasets for each evaluation seed. Empty if there is no mean.
        accuracy_mean: the mean of ``accuracies``.
        accuracy_ci95: 95 % t interval of the mean over the seeds, [low, high].
        missing: for people: why there is no mean.
        rank: the rank as text, as in `Row`.
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

    The records come from `verdicts.judged`: those of strangers may call any run comparable. Runs of
    a method or team with the same images, recipe, student and seeds count once: the oldest
    comparable one. Those of different ones are all shown, and each names the others. Shards have
    no row of their own beside the set that they were merged into. Comparable
    runs of one track, dataset, category and recipe are ranked together if they have the same test
    images and rules (by their hashes). Runs whose time limit was enforced are ranked separately
    from those that only declare one.
    """
    of_track = [record for record in records if track in (None, record.track)]
    merged = {shard.run_id for record in of_track for shard in record.origin.shards}
    counted = distinct(
        record for record in of_track if not (record.shard and record.run_id in merged)
    )
    ordered = sorted(
        counted,
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
        [(r.dataset, r.data_sha256, *_rules(r)) for r in ordered],
    )
    makers = grouped(ordered, _images)
    tables = grouped(ordered, _table)
    return [
        Row(
            record,
            rank,
            _others(record, makers[_images(record)]),
            _version(record, tables[_table(record)]),
        )
        for record, rank in zip(ordered, ranks, strict=True)
    ]


def _table(record: Record) -> Hashable:
    return record.track, record.dataset


def _version(record: Record, table: Sequence[Record]) -> str:
    """Return the hashes of a run that other runs of its table do not share."""
    own, every = _hashes(record), [_hashes(other) for other in table]
    differing = [name for name in own if len({hashes[name] for hashes in every}) > 1]
    return ", ".join(f"{name} {(own[name] or 'unknown')[:8]}" for name in differing)


def _hashes(record: Record) -> dict[str, str | None]:
    """Return the hashes of what runs must share to be ranked together."""
    return {
        "rules": record.rules.sha256 if record.rules else None,
        "recipe": record.recipe_sha256,
        "test images": record.data_sha256,
    }


def _images(record: Record) -> Hashable:
    """Return what runs with the same images share."""
    return record.track, record.dataset, record.images_sha256


def _others(record: Record, same: Sequence[Record]) -> tuple[str, ...]:
    """Return the other methods and teams among runs with the same images."""
    if record.images_sha256 is None:
        return ()
    own = name_key(record.method)
    return tuple(sorted({one.method for one in same if name_key(one.method) != own}))


def means(rows: Iterable[Row], datasets: Mapping[str, Sequence[str]]) -> list[MeanRow]:
    """Return a row for each entry with a comparable run on a track with several datasets.

    The best comes first. An entry has no mean if a dataset lacks a comparable run or if the runs
    have different evaluation seeds.

    Args:
        rows: the rows that `rows` returns.
        datasets: names of the datasets of each track.
    """
    oldest_first = sorted(rows, key=lambda row: row.record.created)
    members = [row for row in oldest_first if row.record.dataset in _several(row, datasets)]
    entries = grouped(members, key=lambda row: _entry(row.record))
    unranked = [_mean(group, tuple(_several(group[0], datasets))) for group in entries.values()]
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
        [
            (*_rules(row.record), *(_data(row.runs.get(name)) for name in row.datasets))
            for row in ordered
        ],
    )
    return [replace(row, rank=rank) for row, rank in zip(ordered, ranks, strict=True)]


def _several(row: Row, datasets: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the datasets of the row's track if there are several, else an empty sequence."""
    names = datasets.get(row.record.track, ())
    return names if len(names) > 1 else ()


def _entry(record: Record) -> Hashable:
    """Return what the runs of one entry have in common."""
    return (
        record.method,
        tuple(record.explicit_options),
        record.model,
        record.seed,
        *_rules(record),
    )


def _data(run: Record | None) -> str | None:
    """Return the hash of the test images of a run."""
    return run.data_sha256 if run else None


def _rules(record: Record) -> tuple[Hashable, ...]:
    """Return the rules that runs must share to be ranked together."""
    return (
        record.track,
        record.rules.sha256 if record.rules else "",
        record.recipe_sha256,
        record.category,
        record.limit_enforced,
    )


def _mean(rows: Sequence[Row], datasets: tuple[str, ...]) -> MeanRow:
    """Return the mean over ``datasets`` for each seed, from one entry's runs (oldest first)."""
    scored = [row.record for row in rows if row.is_comparable and row.record.accuracies]
    runs = {name: group[0] for name, group in grouped(scored, lambda run: run.dataset).items()}
    problems = [f"no comparable run on {name}" for name in datasets if name not in runs]
    if not problems and len({tuple(run.seeds) for run in runs.values()}) > 1:
        problems = ["the runs have different evaluation seeds"]
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
    """Return a sort key that puts a run without a score below one that scored 0."""
    return -1.0 if mean is None else mean


def _ranks(accuracies: Sequence[Sequence[float]], groups: Sequence[Hashable]) -> list[str]:
    """Return the rank of each item within its group, or an empty text if it has no accuracies."""
    ranks = [""] * len(accuracies)
    scored = [index for index, values in enumerate(accuracies) if values]
    for indices in grouped(scored, key=lambda index: groups[index]).values():
        texts = stats.ranks([accuracies[index] for index in indices])
        for index, text in zip(indices, texts, strict=True):
            ranks[index] = text
    return ranks


def distinct(records: Iterable[Record]) -> list[Record]:
    """Return the runs that count, each once, even if several runs folders contain it."""
    return [
        group[0]
        for group in grouped(
            _preferred_first(records), lambda run: (name_key(run.method), _result(run))
        ).values()
    ]


def conflicts(records: Iterable[Record]) -> list[str]:
    """Return a line for each run whose accuracies differ from those of a run with the same images.

    One of the two runs is wrong, or they were computed with different rounding.
    """
    ordered = _preferred_first(records)
    shown = {run.run_id for run in distinct(ordered)}
    return [
        f"run {run.run_id} ({_score(run)}) has the same images, recipe and seeds as "
        f"run {first.run_id} ({_score(first)}), but different accuracies"
        f"{'' if run.run_id in shown else '; it is hidden'}"
        for first, *others in grouped(ordered, _result).values()
        for run in others
        if run.accuracies != first.accuracies
    ]


def _score(record: Record) -> str:
    return f"{record.method}, {100 * (record.accuracy_mean or 0):.2f} %"


def _preferred_first(records: Iterable[Record]) -> list[Record]:
    """Return the runs, of duplicates first the one that counts."""
    return sorted(
        records, key=lambda r: (not r.comparable, not r.limit_enforced, r.created, r.run_id)
    )


def _result(record: Record) -> Hashable:
    """Return what runs with the same images and scoring share.

    A run that was not scored shares it only with its own copies.
    """
    if not (record.images_sha256 and record.accuracies):
        return record.run_id, record.track, record.dataset, record.method
    return (
        record.track,
        record.images_sha256,
        record.dataset,
        *_hashes(record).values(),
        record.student,
        tuple(sorted(record.seeds)),
    )


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return ``items`` grouped by ``key``. Groups and their items keep their original order."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
