"""All that is known of a track at one place, for tables and pages alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from leaderboard import ranking, references
from leaderboard.ranking import Row
from leaderboard.record import Record
from leaderboard.references import Reference


@dataclass(frozen=True)
class Section:
    """Of one track: the mean scores of a track over several datasets, its runs by title of their table, published results by dataset."""

    track: str
    means: dict[str, list[Row]] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    published: dict[str, list[Reference]] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.tables.values() for row in rows]


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
        section.tables.setdefault(_title(row), []).append(row)
    for row in ranking.means(rows, datasets or {}):
        found[row["track"]].means.setdefault(_title(row, "mean over "), []).append(row)
    for section in found.values():
        for dataset in dict.fromkeys(row["dataset"] for row in section.rows):
            beside = references.beside(section.track, dataset, {row["ipc"] for row in section.rows if row["dataset"] == dataset}, known)
            if beside:
                section.published[dataset] = beside
    return list(found.values())


def _title(row: Row, of: str = "") -> str:
    """Of the table that ``row`` belongs to."""
    return f"{row['track']}, {of}{row['dataset']}" + ("" if row["limit_enforced"] else ": sets from files, time limit declared")
