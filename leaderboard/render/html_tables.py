"""Tables in the form that their HTML template expects: texts, CSS classes, links and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import MeanRow, Row
from leaderboard.render.columns import Column, Kind, Table
from leaderboard.stats import clipped

T = TypeVar("T")
RankedRow = TypeVar("RankedRow", Row, MeanRow)
# Low end, mean and high end of an interval, in per cent of the table's range.
Bar = tuple[float, float, float]
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


# Pixels from one image of a grid to the next.
GRID_STEP = 68
SET: Column[Any] = Column("set", "Some images of the set.", lambda row: "", on_phone=False)


@dataclass(frozen=True)
class Cell:
    """A cell: untrusted text, CSS classes, and an optional link, bar, or picture.

    Attributes:
        picture: a file, whose upper right corner is shown.
        picture_width: width of that corner in pixels.
    """

    text: str
    css: str
    link: str = ""
    bar: Bar | None = None
    picture: str = ""
    picture_width: int = 0


@dataclass(frozen=True)
class Head:
    """The head of a column: its text, its CSS classes, and an explanation of the text."""

    text: str
    css: str
    meaning: str


@dataclass(frozen=True)
class HtmlRow:
    """A row: its CSS classes, its cells, and the status of its run; empty: it is no run."""

    css: str
    cells: list[Cell]
    status: str = ""


@dataclass(frozen=True)
class HtmlTable:
    """A table for the template ``tables.html``."""

    title: str
    heads: list[Head]
    rows: list[HtmlRow]

    @property
    def meanings(self) -> dict[str, str]:
        """Return an explanation of each heading."""
        return {head.text: head.meaning for head in self.heads}


@dataclass(frozen=True)
class Legend:
    """A legend for all tables of one kind: an explanation of each heading."""

    title: str
    meanings: dict[str, str]


def legend(title: str, tables: Iterable[HtmlTable]) -> Legend:
    """Return the legend of several tables of one kind, with each heading once."""
    return Legend(title, {head.text: head.meaning for table in tables for head in table.heads})


def plain(table: Table[T]) -> HtmlTable:
    """Return a table that holds only text."""
    return _build(table, lambda column, row: _cell(column, row))


def published(table: Table[PublishedResult]) -> HtmlTable:
    """Return a table of published results, each with a link to its source."""

    def cell(column: Column[PublishedResult], result: PublishedResult) -> Cell:
        return _cell(column, result, link=result.url if column.kind == "source" else "")

    return _build(table, cell, lambda index: "published")


def ranked(
    table: Table[RankedRow],
    pages: Mapping[RankedRow, str],
    grids: Mapping[RankedRow, str] | None = None,
) -> HtmlTable:
    """Return a table with bars for the intervals, and with links to the ``pages`` of its rows.

    With ``grids``, the files of grids of images, it also shows a part of each.
    """
    low, high = _span(table.rows)
    if grids is not None:
        rank, *others = table.columns
        table = replace(table, columns=[rank, SET, *others])

    def bar(row: RankedRow) -> Bar | None:
        if row.accuracy_mean is None or high <= low:
            return None
        first, mean, last = (round(100 * (end - low) / (high - low), 1) for end in _ends(row))
        return first, mean, last

    def cell(column: Column[RankedRow], row: RankedRow) -> Cell:
        if column.kind == "interval":
            return _cell(column, row, bar=bar(row))
        if column is SET:
            # Images are on the right of their classes, at most ten in a line.
            width = GRID_STEP * min(2, row.record.ipc)
            empty = _cell(column, row, link=pages.get(row, ""))
            return replace(empty, picture=(grids or {}).get(row, ""), picture_width=width)
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
    """Return a table made of the cells that ``cell`` returns.

    ``css`` takes the index of a row and returns the row's CSS classes.
    """
    columns = [column for column in table.columns if column.on_page]
    heads = [_head(column) for column in columns]
    rows = [
        HtmlRow(css(index), [cell(column, row) for column in columns], _status(row))
        for index, row in enumerate(table.rows)
    ]
    return HtmlTable(table.title, heads, rows)


def _status(row: Any) -> str:
    return str(row.record.status) if isinstance(row, Row) else ""


def _head(column: Column[Any]) -> Head:
    css = _css(column, CSS["number"] if column.kind == "number" else "")
    css += " low-first" if column.low_first else ""
    return Head(column.heading, css, column.meaning)


def _cell(column: Column[T], row: T, link: str = "", bar: Bar | None = None) -> Cell:
    return Cell(column.cell(row), _css(column, CSS[column.kind]), link, bar)


def _css(column: Column[Any], kind: str) -> str:
    return " ".join(name for name in (kind, "" if column.on_phone else "secondary") if name)


def _ends(row: Row | MeanRow) -> tuple[float, float, float]:
    """Return low end, mean and high end of the interval. Without one, all three are the mean."""
    mean = row.accuracy_mean or 0.0
    low, high = clipped(row.accuracy_ci95) or (mean, mean)
    return low, mean, high


def _span(rows: Iterable[Row | MeanRow]) -> tuple[float, float]:
    """Return the range that covers all intervals."""
    ends = [end for row in rows if row.accuracy_mean is not None for end in _ends(row)]
    return (min(ends), max(ends)) if ends else (0.0, 0.0)
