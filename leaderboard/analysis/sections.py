"""Collect everything that tables and pages show about a track."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from leaderboard.analysis import published as published_results
from leaderboard.analysis import ranking
from leaderboard.analysis.groups import grouped
from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import MeanRow, Read, Row
from leaderboard.analysis.standing import Standing
from leaderboard.records.record import Record

T = TypeVar("T")


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
    runs: Iterable[Standing],
    read: Read,
    track: str | None = None,
    datasets: Mapping[str, Sequence[str]] | None = None,
    published: Iterable[PublishedResult] | None = None,
    by_records: Collection[str] = (),
    selection: Selection = ALL,
) -> list[Section]:
    """Return a section for each track that has runs, or only for ``track``.

    Args:
        runs: the standings of all runs.
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
    by_track = grouped((run for run in runs if track in (None, run.track)), lambda run: run.track)
    found = [
        _section(of_track, read, datasets or {}, results, name in by_records, selection)
        for name, of_track in sorted(by_track.items())
    ]
    return [section for section in found if section.rows or section.hidden]


def _section(
    runs: Sequence[Standing],
    read: Read,
    datasets: Mapping[str, Sequence[str]],
    results: Sequence[PublishedResult],
    is_by_records: bool,
    selection: Selection,
) -> Section:
    """Return the section of a track with these runs."""
    order = ranking.ordered(runs)
    hides, keeps = selection.hides, selection.keeps
    matching = [run for run in order if matches(run, selection.wanted)]
    listed = [run for run in matching if keeps(run) or not hides(run)]
    shown = _first(listed, lambda run: (*_table(run), run.category), selection.most, keeps)
    # A mean is over all datasets and all runs of an entry.
    entries = [] if selection.is_partial else ranking.means(order, datasets)
    best = _first(entries, lambda row: (*_mean_table(row), row.record.category), selection.most)
    more = Counter([*map(_table, listed), *map(_mean_table, entries)])
    more.subtract([*map(_table, shown), *map(_mean_table, best)])
    return Section(
        order[0].track,
        ranking.rows_of(order, shown, read),
        ranking.ranked(entries, best),
        _published(order[0].track, listed, results),
        hidden=len(matching) - len(listed),
        more=more,
        is_by_records=is_by_records,
    )


def _table(run: Standing) -> tuple[str, bool]:
    """Return the dataset and whether the time limit was enforced."""
    return run.dataset, run.limit_enforced


def _mean_table(row: MeanRow) -> tuple[str, bool]:
    """Return the same for a mean, which has no dataset."""
    return "", row.record.limit_enforced


def _first(
    items: Iterable[T],
    group: Callable[[T], Hashable],
    most: int,
    keeps: Callable[[T], bool] = lambda item: False,
) -> list[T]:
    """Return the first ``most`` items of each group, and those to keep; 0: all items."""
    counts: Counter[Hashable] = Counter()
    first = []
    for item in items:
        counts[group(item)] += 1
        if not most or counts[group(item)] <= most or keeps(item):
            first.append(item)
    return first


def is_failed(run: Record | Standing) -> bool:
    """Return whether a method's run failed. Invalid files of teams are results of a challenge."""
    return run.status in ("error", "invalid") and run.limit_enforced


def matches(run: Record | Standing, wanted: Mapping[str, str | None]) -> bool:
    """Return whether fields of a run have the wanted values; None stands for any."""
    return all(value in (None, getattr(run, name)) for name, value in wanted.items())


def _published(
    track: str, runs: Sequence[Standing], results: Sequence[PublishedResult]
) -> dict[str, list[PublishedResult]]:
    """Return the published results that match the runs of a track, by dataset."""
    matching = {
        dataset: published_results.matching(
            track, dataset, {run.ipc for run in of_dataset}, results
        )
        for dataset, of_dataset in grouped(runs, lambda run: run.dataset).items()
    }
    return {dataset: found for dataset, found in matching.items() if found}
