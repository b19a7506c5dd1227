"""``ddbench leaderboard``: show all runs as a table or as HTML pages."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark_adapters import console, files, track_files
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import UserError
from leaderboard.render import FORMATS
from leaderboard.text import shown_path

if TYPE_CHECKING:
    from leaderboard.analysis.overview import Overview


@click.command("leaderboard")
@click.option(
    "--track",
    metavar="TRACK",
    help="Show only this track; or a file of your own, FILE.toml, to rank by the rules in it.  "
    "[default: all]",
)
@options.filters
@options.SEVERAL_RUNS
@click.option(
    "--format",
    "style",
    type=click.Choice([*FORMATS, "html"]),
    help="Output format.  [default: plain in a terminal, else github]",
)
@click.option(
    "--columns",
    "names",
    metavar="A,B",
    help="Columns to show, in this order: rank, method, ipc, accuracy, interval, n, ... (the "
    "headings without units; not for json and html).  [default: all; in a terminal and for latex, "
    "those that matter most]",
)
@click.option("--wide", is_flag=True, help="Show all columns in a terminal.")
@click.option(
    "--all",
    "shows_all",
    is_flag=True,
    help="Also list runs of methods that failed, which are only counted otherwise.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    help="Best rows to show of each ranking: of each dataset, by IPC if the track allows several; "
    f"0: all.  [default: {options.ROWS}; all for csv, json and html]",
)
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path),
    help="File to write instead of printing the table; for html, the folder for the pages.",
)
@click.option("--title", help="Title of the page of --format html.  [default: Leaderboard]")
@console.DEBUG
@click.pass_context
def leaderboard_command(
    context: click.Context,
    /,
    track: str | None,
    method: str | None,
    dataset: str | None,
    status: str | None,
    roots: tuple[Path, ...],
    style: str | None,
    names: str | None,
    wide: bool,
    shows_all: bool,
    rows: int | None,
    path: Path | None,
    title: str | None,
) -> None:
    """Show all runs as a table or as HTML pages, best first.

    Intervals are 95 % t intervals over the evaluation seeds. Runs share a rank if Welch's t-test
    finds no difference between them. Published results are listed separately.

    Exit codes: 0 if all runs could be read, 1 if not (the others are shown), 2 for wrong usage.
    """
    from leaderboard.analysis import demands, sections
    from leaderboard.analysis.sections import Selection
    from leaderboard.render import tables

    in_terminal = path is None and sys.stdout.isatty()
    style = style or ("plain" if in_terminal else "github")
    # Programs that read CSV and JSON select rows themselves.
    shows_all = shows_all or status is not None or style in ("csv", "json")
    wanted = {"method": method, "dataset": dataset, "status": status}
    _check(style, any(wanted.values()), names, title, rows)
    plugins = output.installed_plugins()
    selected = _columns(names, plugins.datasets) if names is not None else []
    with output.overview_of(roots, plugins, track) as found:
        if track:
            track = track_files.name_of(plugins, track, found.board.tracks())
        if style == "html":
            _write_pages(found, track, path, title or "Leaderboard")
            context.exit(0 if not found.problems else 1)
        hides = (lambda run: False) if shows_all else sections.is_failed
        most = 0 if style in ("csv", "json") else options.ROWS if rows is None else rows
        shown = sections.build(
            found.board,
            found.record if style == "json" else found.brief,
            track,
            demands.datasets(found.demands),
            by_records=demands.by_records(found.demands),
            selection=Selection(wanted, hides, most=most),
        )
    text = tables.render(shown, style, selected, wide)
    if path is None:
        click.echo(text)
    else:
        _write_table(text, path)
    context.exit(0 if not found.problems else 1)


def _check(
    style: str, is_filtered: bool, names: str | None, title: str | None, rows: int | None
) -> None:
    """Raise a `UserError` if an option does not suit the format."""
    if style == "html" and is_filtered:
        raise UserError("--method, --dataset and --status select rows of tables, not of pages")
    if names is not None and style in ("json", "html"):
        raise UserError(f"--columns selects columns of tables; --format {style} has them all")
    if title is not None and style != "html":
        raise UserError("--title is the title of a page: add --format html")
    if rows is not None and style in ("csv", "json", "html"):
        raise UserError(f"--rows shortens tables for people; --format {style} has all rows")


def _write_table(text: str, path: Path) -> None:
    """Write a table to a file, which it replaces, or to a device or a pipe.

    Raises:
        UserError: it can't be written, or its folder is missing.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path} can't be written: there is no folder {path.parent}")
    try:
        if path.exists() and not path.is_file():
            path.write_text(text + "\n", encoding="utf-8")
            return
        with files.replacing(path.resolve()) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}") from None


def _columns(names: str, datasets: Iterable[str]) -> list[str]:
    """Return the names in a comma-separated list of columns, in lower case.

    Raises:
        UserError: there is no such column.
    """
    from leaderboard.render import columns

    known = [*columns.names(), *datasets]
    selected = [name.strip().lower() for name in names.split(",")]
    for name in selected:
        if name not in known:
            raise UserError(f"unknown column {name!r}; known columns: {', '.join(known)}")
    return selected


def _write_pages(overview: Overview, track: str | None, folder: Path | None, title: str) -> None:
    from benchmark_adapters.runs import derived
    from leaderboard.analysis import demands
    from leaderboard.render import pages

    if folder is None:
        raise UserError("--format html needs a folder for the pages: --output DIR")
    entries = [
        (Path(run.folder), record)
        for run in overview.board
        if (record := overview.record(run)) is not None
    ]
    for run, record in entries:
        derived.restore(run, record)
    try:
        datasets = demands.datasets(overview.demands)
        by_records = demands.by_records(overview.demands)
        written = pages.write(entries, folder, track, datasets, title, by_records)
        click.echo(shown_path(written))
    except ValueError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"{folder} can't be written: {error.strerror or error}") from None
