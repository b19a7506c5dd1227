"""Tables as their HTML template wants them: texts, classes, links and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import MeanRow, Row
from leaderboard.render.columns import Column, Kind, Table
from leaderboard.stats import clipped

T = TypeVar("T")
RankedRow = TypeVar("RankedRow", Row, MeanRow)
Bar = tuple[float, float, float]  # low end, mean, high end, in per cent of the table's range
CSS: dict[Kind, str] = {
    "text": "",
    "number": "number",
    "name": "name",
    "interval": "unbroken",
    "unbroken": "unbroken",
    "long": "long",
    "status": "long status",
    "source": "long",
}


@dataclass(frozen=True)
class Cell:
    """A cell: untrusted text, its classes, and what it links to or shows as a bar."""

    text: str
    css: str
    link: str = ""
    bar: Bar | None = None


@dataclass(frozen=True)
class HtmlRow:
    """A row: its classes, and its cells."""

    css: str
    cells: list[Cell]


@dataclass(frozen=True)
class HtmlTable:
    """A table for the template ``tables.html``."""

    title: str
    heads: list[Cell]
    rows: list[HtmlRow]


def plain(table: Table[T]) -> HtmlTable:
    """Return a table of texts alone."""
    return _build(table, lambda column, row: _cell(column, row))


def published(table: Table[PublishedResult]) -> HtmlTable:
    """Return a table of published results, each with a link to its source."""

    def cell(column: Column[PublishedResult], result: PublishedResult) -> Cell:
        return _cell(column, result, link=result.url if column.kind == "source" else "")

    return _build(table, cell, lambda index: "published")


def ranked(table: Table[RankedRow], pages: Mapping[RankedRow, str]) -> HtmlTable:
    """Return a table of rows with bars for their intervals; ``pages`` has addresses of some."""
    low, high = _span(table.rows)

    def bar(row: RankedRow) -> Bar | None:
        if row.accuracy_mean is None or high <= low:
            return None
        first, mean, last = (round(100 * (end - low) / (high - low), 1) for end in _ends(row))
        return first, mean, last

    def cell(column: Column[RankedRow], row: RankedRow) -> Cell:
        if column.kind == "interval":
            return _cell(column, row, bar=bar(row))
        return _cell(column, row, link=pages.get(row, "") if column.kind == "name" else "")

    def css(index: int) -> str:
        category = table.rows[index].record.category
        begins = index > 0 and category != table.rows[index - 1].record.category
        return _state(table.rows[index]) + (" begins" if begins else "")

    return _build(table, cell, css)


def _state(row: Row | MeanRow) -> str:
    if row.rank:
        return "ranked"
    return "failed" if isinstance(row, Row) and row.record.status != "ok" else "apart"


def _build(
    table: Table[T],
    cell: Callable[[Column[T], T], Cell],
    css: Callable[[int], str] = lambda index: "",
) -> HtmlTable:
    """Return the table with the cells that ``cell`` returns; ``css`` takes a row's index."""
    columns = [column for column in table.columns if column.on_page]
    heads = [_head(column) for column in columns]
    rows = [
        HtmlRow(css(index), [cell(column, row) for column in columns])
        for index, row in enumerate(table.rows)
    ]
    return HtmlTable(table.title, heads, rows)


def _head(column: Column[Any]) -> Cell:
    return Cell(column.heading, _css(column, CSS["number"] if column.kind == "number" else ""))


def _cell(column: Column[T], row: T, link: str = "", bar: Bar | None = None) -> Cell:
    return Cell(column.cell(row), _css(column, CSS[column.kind]), link, bar)


def _css(column: Column[Any], kind: str) -> str:
    return " ".join(name for name in (kind, "" if column.on_phone else "secondary") if name)


def _ends(row: Row | MeanRow) -> tuple[float, float, float]:
    """Return low end of the interval, mean, high end; without an interval the mean alone."""
    mean = row.accuracy_mean or 0.0
    low, high = clipped(row.accuracy_ci95) or (mean, mean)
    return low, mean, high


def _span(rows: Iterable[Row | MeanRow]) -> tuple[float, float]:
    """Return the range of all intervals."""
    ends = [end for row in rows if row.accuracy_mean is not None for end in _ends(row)]
    return (min(ends), max(ends)) if ends else (0.0, 0.0)
