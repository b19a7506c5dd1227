"""Everything that is made of records: ranks, tables, texts, comparisons and pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark_adapters import plugins, track_demands
from leaderboard.analysis import comparison, demands, duplicates, sections, verdicts
from leaderboard.analysis.board import held
from leaderboard.records.record import Record
from leaderboard.render import FORMATS, comparison_tables, pages, report, tables

# Folder and record of each run.
Entries = list[tuple[Path, Record]]
INSTALLED = plugins.build()


def judged(entries: Entries) -> tuple[Entries, Any]:
    """Return the records with the leaderboard's verdicts, and what their tracks demand."""
    records = [record for _, record in entries]
    known = track_demands.known(INSTALLED, records)
    folders = [folder for folder, _ in entries]
    return list(zip(folders, verdicts.judged(records, known), strict=True)), known


def texts(entries: Entries) -> list[str]:
    """Return every text about runs that commands print."""
    entries, known = judged(entries)
    records = [record for _, record in entries]
    with held(records) as (board, read):
        conflicts = list(duplicates.conflicts(board))
        built = sections.build(
            board, read, datasets=demands.datasets(known), by_records=demands.by_records(known)
        )
    made = compared(entries)
    return [
        *conflicts,
        *(tables.render(built, style) for style in FORMATS if style != "html"),
        tables.render(built, "plain", is_wide=True),
        *(report.describe(record, folder) for folder, record in entries),
        *(comparison.to_json(made), comparison_tables.describe(made)),
    ]


def compared(entries: Entries) -> comparison.Comparison:
    """Return the comparison of all runs, or of the only one with itself."""
    records = [record for _, record in entries] * (2 if len(entries) == 1 else 1)
    names = [[str(label) for label in range(len(one.confusion or []))] for one in records]
    return comparison.compare(records, names)


def write_pages(entries: Entries, folder: Path) -> None:
    """Write the pages of the leaderboard and of a comparison."""
    entries, known = judged(entries)
    pages.write(entries, folder / "board", datasets=demands.datasets(known))
    made = compared(entries)
    pages.write_comparison(made, [entries[0][0]] * len(made.runs), folder / "compared")
