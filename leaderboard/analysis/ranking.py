"""Rank comparable runs, and average them over the datasets of a track."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TypeVar

from leaderboard import stats
from leaderboard.analysis import duplicates, standing
from leaderboard.analysis.duplicates import hashes
from leaderboard.analysis.groups import grouped
from leaderboard.analysis.standing import Standing
from leaderboard.records.record import Record
from leaderboard.text import name_key

T = TypeVar("T")
# Returns the record of a run; None: it has gone.
Read = Callable[[Standing], Record | None]


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

    record: Standing
    datasets: tuple[str, ...]
    runs: dict[str, Standing] = field(default_factory=dict)
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
    """Return a row for each run that counts, best first within a track and dataset.

    The records come from `verdicts.judged`: those of strangers may call any run comparable.
    """
    held = standing.held(records)
    order = ordered(held, track)
    return rows_of(order, order, held.get)


def ordered(runs: Iterable[Standing], track: str | None = None) -> list[Standing]:
    """Return the runs that count, best first within a track and dataset.

    Runs of a method or team with the same images, recipe, student and seeds count once: the oldest
    comparable one. Those of different ones all count. Shards do not count beside the set that they
    were merged into.
    """
    of_track = [run for run in runs if track in (None, run.track)]
    merged = {shard for run in of_track for shard in run.shards}
    return sorted(
        duplicates.distinct(run for run in of_track if not (run.shard and run.run_id in merged)),
        key=lambda run: (
            run.track,
            run.dataset,
            not run.limit_enforced,
            run.category,
            -_mean_or_less(run.accuracy_mean),
            run.created,
        ),
    )


def rows_of(order: Sequence[Standing], shown: Sequence[Standing], read: Read) -> list[Row]:
    """Return the rows of some of the runs. Ranks are those among all.

    Comparable runs of one track, dataset, category and recipe are ranked together if they have the
    same test images and rules (by their hashes). Runs whose time limit was enforced are ranked
    separately from those that only declare one. If runs of several methods have the same images,
    each row names the others.

    Args:
        order: all runs that count, in order.
        shown: those that get a row.
        read: returns the record of a run; None: it has gone, and gets no row.
    """
    ranks = _ranks(
        [run.accuracies if run.is_comparable else () for run in order],
        [(run.dataset, run.data_sha256, *_rules(run)) for run in order],
        _places(order, shown),
    )
    makers = grouped(order, _images)
    versions = {table: _differing(runs) for table, runs in grouped(order, _table).items()}
    return [
        Row(record, rank, _others(run, makers[_images(run)]), _version(run, versions[_table(run)]))
        for run, rank in zip(shown, ranks, strict=True)
        if (record := read(run)) is not None
    ]


def _places(items: Sequence[T], wanted: Sequence[T]) -> list[int]:
    """Return where items that compare by identity are among all."""
    places = {item: place for place, item in enumerate(items)}
    return [places[item] for item in wanted]


def _table(run: Standing) -> Hashable:
    return run.track, run.dataset


def _differing(table: Sequence[Standing]) -> list[str]:
    """Return the names of the hashes that the runs of a table do not share."""
    every = [hashes(run) for run in table]
    return [name for name in every[0] if len({hashes[name] for hashes in every}) > 1]


def _version(run: Standing, names: Sequence[str]) -> str:
    """Return the hashes of a run that are called ``names``."""
    own = hashes(run)
    return ", ".join(f"{name} {(own[name] or 'unknown')[:8]}" for name in names)


def _images(run: Standing) -> Hashable:
    """Return what runs with the same images share."""
    return run.track, run.dataset, run.images_sha256


def _others(run: Standing, same: Sequence[Standing]) -> tuple[str, ...]:
    """Return the other methods and teams among runs with the same images."""
    if run.images_sha256 is None:
        return ()
    own = name_key(run.method)
    return tuple(sorted({one.method for one in same if name_key(one.method) != own}))


def means(order: Iterable[Standing], datasets: Mapping[str, Sequence[str]]) -> list[MeanRow]:
    """Return a row for each entry with a comparable run on a track with several datasets.

    The best comes first. `ranked` adds the ranks. An entry has no mean if a dataset lacks a
    comparable run or if the runs have different evaluation seeds.

    Args:
        order: the runs that count, as `ordered` returns them.
        datasets: names of the datasets of each track.
    """
    oldest_first = sorted(order, key=lambda run: run.created)
    members = [run for run in oldest_first if run.dataset in _several(run, datasets)]
    unranked = [
        _mean(runs, tuple(_several(runs[0], datasets)))
        for runs in grouped(members, _entry).values()
    ]
    return sorted(
        (row for row in unranked if row.runs),
        key=lambda row: (
            row.record.track,
            not row.record.limit_enforced,
            row.record.category,
            -_mean_or_less(row.accuracy_mean),
            row.record.created,
        ),
    )


def ranked(rows: Sequence[MeanRow], shown: Sequence[MeanRow]) -> list[MeanRow]:
    """Return some of the rows, each with its rank among all ``rows``."""
    ranks = _ranks(
        [row.accuracies for row in rows],
        [
            (*_rules(row.record), *(_data(row.runs.get(name)) for name in row.datasets))
            for row in rows
        ],
        _places(rows, shown),
    )
    return [replace(row, rank=rank) for row, rank in zip(shown, ranks, strict=True)]


def _several(run: Standing, datasets: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the datasets of the run's track if there are several, else an empty sequence."""
    names = datasets.get(run.track, ())
    return names if len(names) > 1 else ()


def _entry(run: Standing) -> Hashable:
    """Return what the runs of one entry have in common."""
    return run.method, run.explicit_options, run.model, run.seed, *_rules(run)


def _data(run: Standing | None) -> str | None:
    """Return the hash of the test images of a run."""
    return run.data_sha256 if run else None


def _rules(run: Standing) -> tuple[Hashable, ...]:
    """Return the rules that runs must share to be ranked together."""
    return (
        run.track,
        run.rules.sha256 if run.rules else "",
        run.recipe_sha256,
        run.category,
        run.limit_enforced,
    )


def _mean(entry: Sequence[Standing], datasets: tuple[str, ...]) -> MeanRow:
    """Return the mean over ``datasets`` for each seed, from one entry's runs (oldest first)."""
    scored = [run for run in entry if run.is_comparable and run.accuracies]
    runs = {name: group[0] for name, group in grouped(scored, lambda run: run.dataset).items()}
    problems = [f"no comparable run on {name}" for name in datasets if name not in runs]
    if not problems and len({run.seeds for run in runs.values()}) > 1:
        problems = ["the runs have different evaluation seeds"]
    by_seed = zip(*(run.accuracies for run in runs.values()), strict=True) if not problems else ()
    accuracies = [fmean(values) for values in by_seed]
    mean, _, interval = stats.summary(accuracies)
    return MeanRow(
        record=entry[0],
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


def _ranks(
    accuracies: Sequence[Sequence[float]], groups: Sequence[Hashable], wanted: Sequence[int]
) -> list[str]:
    """Return the rank of each wanted item within its group; empty: it has no accuracies.

    ``accuracies`` and ``groups`` have an entry for each item, ``wanted`` has indices of items.
    """
    scored = grouped((i for i, values in enumerate(accuracies) if values), groups.__getitem__)
    asked = grouped((i for i in wanted if accuracies[i]), groups.__getitem__)
    ranks: dict[int, str] = {}
    for group, indices in asked.items():
        members = scored[group]
        texts = stats.ranks([accuracies[i] for i in members], _places(members, indices))
        ranks |= zip(indices, texts, strict=True)
    return [ranks.get(i, "") for i in wanted]
