"""Collect everything that tables and pages show about a track."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from leaderboard.analysis import published as published_results
from leaderboard.analysis import ranking
from leaderboard.analysis.board import Board, Read
from leaderboard.analysis.groups import grouped
from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import MeanRow, Row
from leaderboard.analysis.standing import Standing
from leaderboard.records.record import Record


@dataclass(frozen=True)
class Section:
    """One track of the leaderboard.

    Attributes:
        track: name of the track.
        rows: the runs of the track, in the order of `ranking.rows`.
        means: scores over the datasets of the track, if there are several.
        published: published results by dataset, never ranked.
        hidden: number of runs that failed and are not among the rows.
        more: number of rows that a table leaves out because it has enough, by dataset and by
            whether the time limit was enforced. The dataset of the means is an empty text.
        is_by_records: whether the rules are known from the records alone.
    """

    track: str
    rows: list[Row]
    means: list[MeanRow] = field(default_factory=list)
    published: dict[str, list[PublishedResult]] = field(default_factory=dict)
    hidden: int = 0
    more: Mapping[tuple[str, bool], int] = field(default_factory=dict)
    is_by_records: bool = False

    @property
    def note(self) -> str:
        """Return what readers must know about the ranks; empty: nothing."""
        return "ranked by the rules in its records" if self.is_by_records else ""

    @property
    def by_dataset(self) -> dict[str, list[Row]]:
        """Return the runs by dataset."""
        return grouped(self.rows, lambda row: row.record.dataset)

    @property
    def tables(self) -> dict[tuple[str, bool], list[Row]]:
        """Return the runs by dataset and by whether their time limit was enforced."""
        return grouped(self.rows, lambda row: (row.record.dataset, row.record.limit_enforced))

    @property
    def mean_tables(self) -> dict[bool, list[MeanRow]]:
        """Return the means by whether the time limit was enforced."""
        return grouped(self.means, lambda row: row.record.limit_enforced)


@dataclass(frozen=True)
class Selection:
    """Which runs are shown.

    Attributes:
        wanted: values of fields of the records that are shown; None stands for any.
        hides: returns whether a run is left out and counted instead.
        keeps: returns whether a run is shown whatever else is selected.
        most: number of rows that a table shows of each category; 0: all.
    """

    wanted: Mapping[str, str | None] = field(default_factory=dict)
    hides: Callable[[Standing], bool] = lambda run: False
    keeps: Callable[[Standing], bool] = lambda run: False
    most: int = 0

    @property
    def is_partial(self) -> bool:
        """Return whether only runs with certain values are shown."""
        return any(self.wanted.values())


ALL = Selection()


def build(
    board: Board,
    read: Read,
    track: str | None = None,
    datasets: Mapping[str, Sequence[str]] | None = None,
    published: Iterable[PublishedResult] | None = None,
    by_records: Collection[str] = (),
    selection: Selection = ALL,
) -> list[Section]:
    """Return a section for each track that has runs, or only for ``track``.

    Args:
        board: the standings of all runs.
        read: returns the judged record of a run, as for `ranking.rows_of`.
        track: the only track to show. None shows all tracks.
        datasets: names of the datasets of each track. The score of a track with several datasets
            is the mean over them.
        published: published results to show next to the runs. None means those bundled with this
            package.
        by_records: the tracks whose rules are known from the records alone.
        selection: the runs that are shown. Ranks are those among all runs.
    """
    results = published_results.load() if published is None else tuple(published)
    found = []
    for name in board.tracks() if track is None else [track]:
        listing = _listing(board.ordered(name), selection)
        of_track = (datasets or {}).get(name, ())
        # A mean is over all datasets and all runs of an entry.
        is_whole = not selection.is_partial
        means, more = ranking.means(board, name, of_track, selection.most) if is_whole else ([], {})
        section = Section(
            name,
            ranking.rows_of(board.ordered(name), listing.shown, read),
            means,
            _published(name, listing.ipcs, results),
            hidden=listing.hidden,
            more=listing.more | {("", is_enforced): count for is_enforced, count in more.items()},
            is_by_records=name in by_records,
        )
        if section.rows or section.hidden:
            found.append(section)
    return found


@dataclass
class _Listing:
    """The runs of a track that tables show, and what they need to know about the others.

    Attributes:
        shown: the runs, in order.
        hidden: as in `Section`.
        more: as in `Section`, without means.
        ipcs: the images per class of the runs that are not hidden, by dataset.
    """

    shown: list[Standing] = field(default_factory=list)
    hidden: int = 0
    more: dict[tuple[str, bool], int] = field(default_factory=lambda: defaultdict(int))
    ipcs: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


def _listing(order: Iterable[Standing], selection: Selection) -> _Listing:
    """Select from the runs of a track that count."""
    listing = _Listing()
    counts: Counter[tuple[str, bool, str]] = Counter()
    for run in order:
        if not matches(run, selection.wanted):
            continue
        keeps = selection.keeps(run)
        if selection.hides(run) and not keeps:
            listing.hidden += 1
            continue
        listing.ipcs[run.dataset].add(run.ipc)
        counts[*run.table, run.category] += 1
        if keeps or not selection.most or counts[*run.table, run.category] <= selection.most:
            listing.shown.append(run)
        else:
            listing.more[run.table] += 1
    return listing


def is_failed(run: Record | Standing) -> bool:
    """Return whether a method's run failed. Invalid files of teams are results of a challenge."""
    return run.status in ("error", "invalid") and run.limit_enforced


def matches(run: Record | Standing, wanted: Mapping[str, str | None]) -> bool:
    """Return whether fields of a run have the wanted values; None stands for any."""
    return all(value in (None, getattr(run, name)) for name, value in wanted.items())


def _published(
    track: str, ipcs: Mapping[str, Collection[int]], results: Sequence[PublishedResult]
) -> dict[str, list[PublishedResult]]:
    """Return the published results that match the runs of a track, by dataset."""
    matching = {
        dataset: published_results.matching(track, dataset, of_dataset, results)
        for dataset, of_dataset in ipcs.items()
    }
    return {dataset: found for dataset, found in matching.items() if found}
