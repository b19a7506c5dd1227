"""``ddbench export``: export the images of runs to another format."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark_adapters import console, track_files
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import Dataset
from leaderboard.text import plural, shown_path

# Formats with one file per image would fill the screen.
MAX_SHOWN = 10


@click.command("export")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]")
@click.option(
    "--format",
    "format_name",
    metavar="FORMAT",
    required=True,
    help="Format to write; `ddbench list formats` lists them all.",
)
@click.option(
    "--output",
    "folder",
    type=options.FOLDER,
    required=True,
    help="New or empty folder for the files.",
)
@click.option(
    "--truth",
    is_flag=True,
    help="Also write the real test images for the format's own evaluator.",
)
@options.own_dataset
@options.DATA
@click.option(
    "--runs",
    "root",
    type=options.FOLDER,
    default=options.RUNS_FOLDER,
    show_default=True,
    help="Folder where runs are saved.",
)
@console.DEBUG
def export_command(
    runs: tuple[str, ...],
    format_name: str,
    folder: Path,
    truth: bool,
    dataset: str | None,
    image_size: int | None,
    test_split: str | None,
    track: str | None,
    data: Path | None,
    root: Path,
) -> None:
    """Export the images of runs to another format.

    RUN is a folder or the beginning of a run ID. Give at most one run per dataset. The names of
    the files written are printed.
    """
    from benchmark_adapters.runs.export import export
    from benchmark_adapters.runs.read import find_run

    plugins = output.installed_plugins()
    file_format = plugins.formats.require(format_name)
    folders = [find_run(run, [root]) for run in runs]
    own = options.dataset(dataset, image_size, test_split)

    rules = track_files.find(plugins, track) if track else None

    def find(name: str) -> Dataset:
        return track_files.find_dataset(plugins, rules, own or name)

    files = export(folders, file_format, plugins, folder, find, truth, data)
    for file in files[:MAX_SHOWN]:
        click.echo(shown_path(file))
    if len(files) > MAX_SHOWN:
        hidden = len(files) - MAX_SHOWN
        click.echo(f"... and {hidden:,} more {plural(hidden, 'file')} in {shown_path(folder)}")
