"""Collect everything that tables and pages show about a track."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from leaderboard.analysis import published as published_results
from leaderboard.analysis import ranking
from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import MeanRow, Row, grouped
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
        is_by_records: whether the rules are known from the records alone.
    """

    track: str
    rows: list[Row]
    means: list[MeanRow] = field(default_factory=list)
    published: dict[str, list[PublishedResult]] = field(default_factory=dict)
    hidden: int = 0
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


def build(
    records: Iterable[Record],
    track: str | None = None,
    datasets: Mapping[str, Sequence[str]] | None = None,
    published: Iterable[PublishedResult] | None = None,
    wanted: Mapping[str, str | None] | None = None,
    hides: Callable[[Record], bool] = lambda record: False,
    by_records: Collection[str] = (),
) -> list[Section]:
    """Return a section for each track that has runs, or only for ``track``.

    Args:
        records: the records of all runs, as `verdicts.judged` returns them.
        track: the only track to show. None shows all tracks.
        datasets: names of the datasets of each track. The score of a track with several datasets
            is the mean over them.
        published: published results to show next to the runs. None means those bundled with this
            package.
        wanted: values of fields of the records that are shown; None stands for any. Ranks are those
            among all runs.
        hides: returns whether a run is left out and counted instead.
        by_records: the tracks whose rules are known from the records alone.
    """
    rows = ranking.rows(records, track)
    means = grouped(ranking.means(rows, datasets or {}), lambda row: row.record.track)
    if wanted and any(wanted.values()):
        # A mean is over all datasets and all runs of an entry.
        means = {}
        rows = [row for row in rows if matches(row.record, wanted)]
    by_track = grouped(rows, lambda row: row.record.track)
    results = published_results.load() if published is None else tuple(published)
    return [
        _section(name, of_track, means.get(name, []), results, hides, name in by_records)
        for name, of_track in by_track.items()
    ]


def _section(
    name: str,
    rows: list[Row],
    means: list[MeanRow],
    results: Sequence[PublishedResult],
    hides: Callable[[Record], bool],
    is_by_records: bool,
) -> Section:
    shown = [row for row in rows if not hides(row.record)]
    published = _published(name, shown, results)
    return Section(name, shown, means, published, len(rows) - len(shown), is_by_records)


def is_failed(record: Record) -> bool:
    """Return whether a method's run failed. Invalid files of teams are results of a challenge."""
    return record.status in ("error", "invalid") and record.limit_enforced


def matches(record: Record, wanted: Mapping[str, str | None]) -> bool:
    """Return whether fields of a record have the wanted values; None stands for any."""
    return all(value in (None, getattr(record, name)) for name, value in wanted.items())


def _published(
    track: str, rows: Sequence[Row], results: Sequence[PublishedResult]
) -> dict[str, list[PublishedResult]]:
    """Return the published results that match the runs of a track, by dataset."""
    matching = {
        dataset: published_results.matching(
            track, dataset, {row.record.ipc for row in of_dataset}, results
        )
        for dataset, of_dataset in grouped(rows, lambda row: row.record.dataset).items()
    }
    return {dataset: found for dataset, found in matching.items() if found}
