"""Render sections of the leaderboard as Markdown, LaTeX, CSV, JSON or text for a terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import MeanRow, Row
from leaderboard.analysis.sections import Section
from leaderboard.render import FORMATS as FORMATS
from leaderboard.render import columns, latex, short_columns
from leaderboard.render.columns import Column, Table
from leaderboard.text import one_line, plural

# The prefix of a title, and tabulate's name for the format.
STYLES = {"github": ("### ", "github"), "plain": ("", "simple"), "latex": ("% ", "latex_booktabs")}
EMPTY = "no runs yet: create one with `ddbench run --method generative-turbo`"
# Characters of a line in a terminal, between two columns, and that tabulate adds to a heading.
WIDTH, GAP, PADDING = 80, 2, 2


def render(
    sections: Sequence[Section],
    style: str = "github",
    names: Sequence[str] = (),
    is_wide: bool = False,
) -> str:
    """Return the sections from `sections.build` as text in one of `FORMATS`.

    CSV and JSON contain only the runs; JSON has all fields of their records. The other formats also
    have separate tables of means over datasets and of published results.

    Args:
        sections: the sections to show.
        style: one of `FORMATS`.
        names: names of the columns to show, in this order, where a table has them. JSON ignores
            them. None given: all columns, but for terminals and LaTeX those that matter most.
        is_wide: show all columns in a terminal, also if lines get longer than `WIDTH`.
    """
    every = [row for section in sections for row in section.rows]
    if style == "json":
        return json.dumps([_fields(row) for row in every], indent=1)
    if style == "csv":
        return _csv(every, columns.select(columns.CSV, names))
    texts = []
    comment = "% " if style == "latex" else ""
    for section in sections:
        for table in _all(section):
            title = f"{section.track}, {table.title}"
            if style == "latex" and not names:
                texts.append(latex.paper(title, table))
            elif style == "plain" and not names and not is_wide:
                texts.append(_fitted(title, table))
            else:
                texts.append(_titled(title, table, style, names, is_wide))
            if table.more:
                rows = f"{table.more:,} more {plural(table.more, 'row is', 'rows are')} not shown"
                texts.append(f"{comment}{rows}; `ddbench leaderboard --rows 0` shows all")
        if section.note:
            texts.append(f"{comment}{_escape(f'{section.track}: {section.note}', style)}")
    hidden = sum(section.hidden for section in sections)
    if hidden:
        failed = plural(hidden, "run failed and is", "runs failed and are")
        texts.append(
            f"{comment}{hidden} {failed} not shown; `ddbench leaderboard --all` lists them"
        )
    return "\n\n".join(texts) or EMPTY


def _all(section: Section) -> list[Table[Any]]:
    return [*means(section), *runs(section), *published(section)]


def runs(section: Section) -> list[Table[Row]]:
    """Return the tables of a section's runs."""
    return [
        Table(
            f"{dataset}{_declared(enforced)}",
            columns.RUN,
            rows,
            section.more.get((dataset, enforced), 0),
        )
        for (dataset, enforced), rows in section.tables.items()
    ]


def means(section: Section) -> list[Table[MeanRow]]:
    """Return the tables of means over the datasets of a section, if there are several datasets."""
    return [
        Table(
            f"mean over {' and '.join(rows[0].datasets)}{_declared(enforced)}",
            columns.mean_columns(rows[0].datasets),
            rows,
            section.more.get(("", enforced), 0),
        )
        for enforced, rows in section.mean_tables.items()
    ]


def published(section: Section) -> list[Table[PublishedResult]]:
    """Return the tables of published results that belong to a section."""
    return [
        Table(
            f"{dataset}: published results, for reference and not ranked",
            columns.PUBLISHED,
            results,
        )
        for dataset, results in section.published.items()
    ]


def _declared(enforced: bool) -> str:
    return "" if enforced else ": sets from files, time limit declared"


def _fields(row: Row) -> dict[str, Any]:
    own = row.record
    derived = {"n": row.n, "devices": own.devices, "device_seconds": own.device_seconds}
    return {**own.to_dict(), "rank": row.rank, **derived}


def _titled(title: str, table: Table[Any], style: str, names: Sequence[str], is_wide: bool) -> str:
    shown = columns.select(table.columns, names, has_extras=is_wide)
    headings = [_escape(column.heading, style) for column in shown]
    cells = [[_escape(column.cell(row), style) for column in shown] for row in table.rows]
    return f"{STYLES[style][0]}{_escape(title, style)}\n\n{grid(headings, cells, style)}"


def _fitted(title: str, table: Table[Any]) -> str:
    """Return the columns that matter most; long cells are wrapped so that lines fit a terminal."""
    shown = short_columns.terminal(table.columns)
    headings = [one_line(column.heading) for column in shown]
    cells = [[column.cell(row) for column in shown] for row in table.rows]
    natural = [_longest(texts) for texts in zip(*cells, strict=True)]
    widths = [
        max(width, len(heading) + PADDING) for width, heading in zip(natural, headings, strict=True)
    ]
    # Numbers are not wrapped, only their headings.
    least = [
        max(_longest(column.heading.split()) + PADDING, width if column.kind == "number" else 0)
        for column, width in zip(shown, natural, strict=True)
    ]
    excess = sum(widths) + GAP * (len(widths) - 1) - WIDTH
    while excess > 0 and (wide := [i for i, width in enumerate(widths) if width > least[i]]):
        widths[max(wide, key=lambda index: widths[index])] -= 1
        excess -= 1
    return f"{one_line(title)}\n\n{grid(headings, cells, widths=widths)}"


def _longest(texts: Sequence[str]) -> int:
    return max(map(len, texts))


def grid(
    headings: Sequence[str],
    cells: Iterable[Sequence[str]],
    style: str = "plain",
    widths: Sequence[int] | None = None,
) -> str:
    """Return cells with headings as a table in one of `STYLES`; ``widths`` wraps the cells."""
    from tabulate import tabulate

    return tabulate(
        list(cells),
        headers=list(headings),
        tablefmt=STYLES[style][1],
        disable_numparse=True,
        maxcolwidths=widths and list(widths),
        maxheadercolwidths=widths and [width - PADDING for width in widths],
    )


def text(table: Table[Any]) -> str:
    """Return a table for a terminal, without its title."""
    cells = [[column.cell(row) for column in table.columns] for row in table.rows]
    return grid([one_line(column.heading) for column in table.columns], cells)


def _csv(rows: Sequence[Row], shown: Sequence[Column[Row]]) -> str:
    if not rows:
        return ""
    import csv

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.heading for column in shown])
    writer.writerows([_no_formula(column.cell(row)) for column in shown] for row in rows)
    return out.getvalue().rstrip("\n")


def _no_formula(text: str) -> str:
    """Return ``text`` in a form that a spreadsheet does not treat as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _escape(text: str, style: str) -> str:
    """Return untrusted text in a form that stays inside its cell. Tabulate itself escapes LaTeX."""
    line = one_line(text)
    if style != "github":
        return line
    for character, escaped in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("[", "\\[")):
        line = line.replace(character, escaped)
    return line
