"""``ddbench export``: write the images of runs in another format."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output
from leaderboard.text import plural

# Files that are named one by one.
MAX_SHOWN = 10


@click.command("export")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]")
@click.option(
    "--format",
    "format_name",
    metavar="FORMAT",
    required=True,
    help="`ddbench list formats` shows all.",
)
@click.option(
    "--output",
    "folder",
    type=options.FOLDER,
    required=True,
    help="New folder for the files.",
)
@click.option(
    "--truth",
    is_flag=True,
    help="Write the real test images too, as the format's own evaluator reads them.",
)
@options.DATA
@click.option(
    "--runs",
    "root",
    type=options.FOLDER,
    default=options.RUNS_FOLDER,
    show_default=True,
    help="Folder of runs.",
)
@console.DEBUG
def export_command(
    runs: tuple[str, ...],
    format_name: str,
    folder: Path,
    truth: bool,
    data: Path | None,
    root: Path,
) -> None:
    """Write the images of runs in another format, one run for each dataset."""
    from benchmark_adapters.runs.export import export
    from benchmark_adapters.runs.read import find_run

    plugins = output.installed_plugins()
    file_format = plugins.formats.require(format_name)
    folders = [find_run(run, [root]) for run in runs]
    files = export(folders, file_format, plugins, folder, truth, data)
    for file in files[:MAX_SHOWN]:
        click.echo(file)
    if len(files) > MAX_SHOWN:
        hidden = len(files) - MAX_SHOWN
        click.echo(f"... and {hidden:,} more {plural(hidden, 'file')} in {folder}")
