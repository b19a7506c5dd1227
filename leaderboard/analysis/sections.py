"""All that is known of a track at one place, for tables and pages alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from leaderboard.analysis import published as references
from leaderboard.analysis import ranking
from leaderboard.analysis.published import Reference
from leaderboard.analysis.ranking import Row
from leaderboard.records.record import Record


@dataclass(frozen=True)
class Section:
    """Of one track: its runs and the mean scores over several datasets, those with an enforced limit apart from the others; published results by dataset."""

    track: str
    means: dict[bool, list[Row]] = field(default_factory=dict)
    tables: dict[tuple[str, bool], list[Row]] = field(default_factory=dict)
    published: dict[str, list[Reference]] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.tables.values() for row in rows]

    @property
    def datasets(self) -> dict[str, list[Row]]:
        """The runs by dataset."""
        found: dict[str, list[Row]] = {}
        for (dataset, _), rows in self.tables.items():
            found.setdefault(dataset, []).extend(rows)
        return found


def sections(
    records: Iterable[Record],
    track: str | None = None,
    datasets: Mapping[str, Sequence[str]] | None = None,
    known: Iterable[Reference] | None = None,
) -> list[Section]:
    """One for each track that has runs, or the only one asked for.

    ``datasets`` of each track: where they are several, its score is the mean over them. ``known``: published results, None: those of this package.
    """
    rows = ranking.rows(records, track)
    found: dict[str, Section] = {}
    for row in rows:
        section = found.setdefault(row["track"], Section(row["track"]))
        section.tables.setdefault((row["dataset"], row["limit_enforced"]), []).append(row)
    for row in ranking.means(rows, datasets or {}):
        found[row["track"]].means.setdefault(row["limit_enforced"], []).append(row)
    for section in found.values():
        for dataset, runs in section.datasets.items():
            beside = references.beside(section.track, dataset, {row["ipc"] for row in runs}, known)
            if beside:
                section.published[dataset] = beside
    return list(found.values())
