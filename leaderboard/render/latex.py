"""LaTeX tables that can be pasted into a paper; they need the package booktabs."""

from __future__ import annotations

from functools import cache
from typing import Any

from leaderboard.analysis.ranking import MeanRow, Row
from leaderboard.render import short_columns
from leaderboard.render.columns import Column, Table
from leaderboard.render.page_folder import TEMPLATES
from leaderboard.text import one_line, plural

SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        # These would be an argument of the line break before a row.
        "[": "{[}",
        "*": "{*}",
        "|": r"\textbar{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)


def paper(title: str, table: Table[Any]) -> str:
    """Return a table of ranked rows with method, IPC and score, the best scores in bold.

    Rows that are not ranked are left out, and a comment says how many. Published results, which
    have no rank, are all shown.
    """
    is_ranked = all(isinstance(row, Row | MeanRow) for row in table.rows)
    rows = [row for row in table.rows if not is_ranked or row.rank]
    shown = short_columns.paper(table.columns)
    missing = len(table.rows) - len(rows)
    left_out = f"{missing} {plural(missing, 'row is', 'rows are')} not ranked" if missing else ""
    if not rows:
        return f"% {one_line(title)}: {left_out}"
    return _template().render(
        title=one_line(title),
        alignment="".join("r" if column.kind == "number" else "l" for column in shown),
        headings=[_escaped(column.heading) for column in shown],
        rows=[[_cell(column, row) for column in shown] for row in rows],
        left_out=left_out,
    )


@cache
def _template() -> Any:
    import jinja2

    text = (TEMPLATES / "table.tex").read_text(encoding="utf-8")
    return jinja2.Template(text, autoescape=False)


def _cell(column: Column[Any], row: Any) -> str:
    text = _escaped(column.cell(row))
    is_score = column.name in short_columns.SCORES and isinstance(row, Row | MeanRow)
    return rf"\textbf{{{text}}}" if is_score and _is_best(row) else text


def _is_best(row: Row | MeanRow) -> bool:
    """Return whether a row has rank 1, perhaps together with others."""
    return row.rank.split("-")[0] == "1"


def _escaped(text: str) -> str:
    """Return untrusted text without characters that mean something to LaTeX."""
    return one_line(text).translate(SPECIAL)
