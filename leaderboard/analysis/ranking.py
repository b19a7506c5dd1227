"""Rank comparable runs, and average them over the datasets of a track."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from itertools import chain, groupby
from statistics import fmean

from leaderboard import stats
from leaderboard.analysis.board import Board, Read, held
from leaderboard.analysis.groups import grouped
from leaderboard.analysis.standing import Standing
from leaderboard.records.record import Record
from leaderboard.stats import Contest
from leaderboard.text import name_key

# The contest of an entry, and its number there.
Place = tuple[Hashable, int]


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

    @property
    def contest(self) -> Hashable:
        """Return what entries that are ranked together share."""
        of_datasets = (self.runs[name].data_sha256 for name in self.datasets if name in self.runs)
        return *self.record.rules_and_group, *of_datasets

    @property
    def group(self) -> tuple[bool, str]:
        """Return what entries share of which the best are shown."""
        return self.record.limit_enforced, self.record.category

    @property
    def order(self) -> tuple[float, str]:
        """Return a sort key: the best comes first, and one without a mean after one with 0."""
        return 1.0 if self.accuracy_mean is None else -self.accuracy_mean, self.record.created


class Ranks:
    """The ranks of entries that are added one by one, of which little stays in memory."""

    def __init__(self) -> None:
        """Begin without entries."""
        self.contests: dict[Hashable, Contest] = defaultdict(Contest)

    def add(self, contest: Hashable, accuracies: Sequence[float]) -> Place | None:
        """Add an entry and return its place; None: it has no accuracies, and no rank."""
        if not accuracies:
            return None
        self.contests[contest].add(accuracies)
        return contest, len(self.contests[contest]) - 1

    def texts(self, places: Iterable[Place | None]) -> dict[Place | None, str]:
        """Return the ranks at some places among all entries."""
        ranks: dict[Place | None, str] = {None: ""}
        wanted = grouped((place for place in places if place), lambda place: place[0])
        for contest, within in wanted.items():
            texts = self.contests[contest].ranks(number for _, number in within)
            ranks |= zip(within, texts, strict=True)
        return ranks


def rows(records: Iterable[Record], track: str | None = None) -> list[Row]:
    """Return a row for each run that counts, best first within a track and dataset.

    The records come from `verdicts.judged`: those of strangers may call any run comparable.
    """
    found = []
    with held(records) as (board, read):
        for name in board.tracks() if track is None else [track]:
            order = list(board.ordered(name))
            found += rows_of(order, order, read)
    return found


def rows_of(order: Iterable[Standing], shown: Sequence[Standing], read: Read) -> list[Row]:
    """Return the rows of some runs of a track. Ranks are those among all.

    Comparable runs of one dataset, category and recipe are ranked together if they have the same
    test images and rules (by their hashes). Runs whose time limit was enforced are ranked
    separately from those that only declare one. If runs of several methods have the same images,
    each row names the others.

    Args:
        order: all runs of the track that count. They are not kept.
        shown: those that get a row.
        read: returns the record of a run; None: it has gone, and gets no row.
    """
    ranks = Ranks()
    places: dict[str, Place | None] = dict.fromkeys(run.folder for run in shown)
    makers: dict[Hashable, set[str]] = {run.images: set() for run in shown if run.images_sha256}
    hashes: dict[str, dict[str, set[str | None]]] = defaultdict(lambda: defaultdict(set))
    for run in order:
        place = ranks.add(run.contest, run.accuracies if run.is_comparable else ())
        if run.folder in places:
            places[run.folder] = place
        if run.images in makers:
            makers[run.images].add(run.method)
        for name, sha256 in run.hashes.items():
            # Two that differ are enough to know that they do.
            if len(hashes[run.dataset][name]) < 2:
                hashes[run.dataset][name].add(sha256)
    texts = ranks.texts(places.values())
    return [
        Row(
            record,
            texts[places[run.folder]],
            _others(run, makers.get(run.images, ())),
            _version(run, hashes[run.dataset]),
        )
        for run in shown
        if (record := read(run)) is not None
    ]


def _others(run: Standing, makers: Iterable[str]) -> tuple[str, ...]:
    """Return the other methods and teams among those that made the same images."""
    return tuple(sorted(name for name in makers if name_key(name) != run.maker))


def _version(run: Standing, found: Mapping[str, Collection[str | None]]) -> str:
    """Return the hashes of a run that other runs on its dataset do not share."""
    own = run.hashes.items()
    return ", ".join(
        f"{name} {(sha256 or 'unknown')[:8]}" for name, sha256 in own if len(found[name]) > 1
    )


def means(
    board: Board, track: str, datasets: Sequence[str], most: int = 0
) -> tuple[list[MeanRow], Counter[bool]]:
    """Return rows of the best entries on a track with several datasets, and how many are left out.

    Each entry with a comparable run has a row, and the best comes first. An entry has no mean if a
    dataset lacks a comparable run or if the runs have different evaluation seeds. A track with one
    dataset has no rows.

    Args:
        board: the standings of all runs.
        track: name of the track.
        datasets: names of its datasets, in its order.
        most: number of rows of each category; 0: all.

    Returns:
        The rows with their ranks among all, and the number of other rows by whether the time limit
        was enforced.
    """
    ranks = Ranks()
    left_out: Counter[bool] = Counter()

    def placed() -> Iterator[tuple[MeanRow, Place | None]]:
        for row in _means(board, track, tuple(datasets)):
            left_out[row.record.limit_enforced] += 1
            yield row, ranks.add(row.contest, row.accuracies)

    best: list[tuple[MeanRow, Place | None]] = []
    for _, rows in groupby(placed(), lambda one: one[0].group):
        best += nsmallest(most or sys.maxsize, rows, lambda one: one[0].order)
    left_out.subtract(row.record.limit_enforced for row, _ in best)
    texts = ranks.texts(place for _, place in best)
    return [replace(row, rank=texts[place]) for row, place in best], left_out


def _means(board: Board, track: str, datasets: tuple[str, ...]) -> Iterator[MeanRow]:
    """Yield a row for each entry with a comparable run, oldest first within a group."""
    if len(datasets) < 2:
        return
    runs = (run for run in board.by_entry(track) if run.dataset in datasets)
    for _, entry in groupby(runs, lambda run: run.entry):
        row = _mean(entry, datasets)
        if row.runs:
            yield row


def _mean(entry: Iterator[Standing], datasets: tuple[str, ...]) -> MeanRow:
    """Return the mean over ``datasets`` for each seed, from one entry's runs (oldest first)."""
    first = next(entry)
    runs: dict[str, Standing] = {}
    for run in chain([first], entry):
        if run.is_comparable and run.accuracies:
            runs.setdefault(run.dataset, run)
    problems = [f"no comparable run on {name}" for name in datasets if name not in runs]
    if not problems and len({run.seeds for run in runs.values()}) > 1:
        problems = ["the runs have different evaluation seeds"]
    by_seed = zip(*(run.accuracies for run in runs.values()), strict=True) if not problems else ()
    accuracies = [fmean(values) for values in by_seed]
    mean, _, interval = stats.summary(accuracies)
    return MeanRow(
        record=first,
        datasets=datasets,
        runs=runs,
        accuracies=accuracies,
        accuracy_mean=mean,
        accuracy_ci95=interval,
        missing="; ".join(problems),
    )
