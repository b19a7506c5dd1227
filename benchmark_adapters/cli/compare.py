"""``ddbench compare``: compare runs with each other."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options
from benchmark_adapters.types import UserError
from leaderboard.text import shown_path


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN [RUN ...]")
@options.SEVERAL_RUNS
@click.option(
    "--output",
    "page_folder",
    type=options.FOLDER,
    help="Also write an HTML page to this folder, with the images side by side.",
)
@options.JSON
@console.DEBUG
def compare_command(
    runs: tuple[str, ...], roots: tuple[Path, ...], page_folder: Path | None, as_json: bool
) -> None:
    """Compare the settings, scores and per-class accuracy of runs.

    RUN is a folder or the beginning of a run ID. Every run is compared with the first one. Welch's
    t-test decides whether two scores differ.
    """
    from benchmark_adapters.runs import derived
    from benchmark_adapters.runs.read import find_run, read_record
    from leaderboard.analysis import comparison
    from leaderboard.render import comparison_tables, pages, report

    folders = [find_run(run, roots) for run in runs]
    records = [read_record(folder) for folder in folders]
    for folder, record in zip(folders, records, strict=True):
        derived.restore(folder, record)
    names = [
        report.class_names(record, folder) for record, folder in zip(records, folders, strict=True)
    ]
    try:
        result = comparison.compare(records, names)
        page = pages.write_comparison(result, folders, page_folder) if page_folder else None
    except ValueError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"{page_folder} can't be written: {error.strerror or error}") from None
    click.echo(comparison.to_json(result) if as_json else comparison_tables.describe(result))
    if page:
        click.echo(shown_path(page), err=True)
