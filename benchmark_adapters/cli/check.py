"""``ddbench check``: check a distilled set before it is scored."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark_adapters import console, track_files
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import one_line
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.execution.isolation import Mode

MAX_SECONDS = 3_600.0


@click.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@options.FORMAT
@click.option(
    "--dataset",
    metavar="DATASET",
    required=True,
    help=f"Dataset that the set stands for; or {options.DATASET_HELP}",
)
@click.option(
    "--track",
    metavar="TRACK",
    help="Track whose rules the set must follow: its datasets and images per class. FILE.toml also "
    "knows the folders of its datasets.",
)
@options.PICTURE_SIZE
@options.TEST_SPLIT
@options.ISOLATE
@options.DATA
@options.JSON
@console.loudness
@console.DEBUG
def check_command(
    path: Path,
    format_name: str | None,
    dataset: str,
    track: str | None,
    image_size: int | None,
    test_split: str | None,
    isolate: Mode,
    data: Path | None,
    as_json: bool,
) -> None:
    """Check a distilled set without scoring it.

    PATH is a file, a folder or a zip archive. It is read in a process with memory and time limits,
    and nothing in it is executed. The checks cover counts, values, duplicates and, if the real data
    is available, copies of test images and the class order.

    Exit codes: 0 if no errors were found, 1 if some were, 2 for wrong usage.
    """
    from benchmark_adapters.execution.sandbox import Limits
    from benchmark_adapters.runs import inbox, submissions

    plugins = output.installed_plugins()
    file_format = plugins.formats.require(format_name) if format_name else None
    name = inbox.dataset_text(dataset, image_size, test_split) or dataset
    rules = track_files.find(plugins, track) if track else None
    known = track_files.find_dataset(plugins, rules, name)
    inbox.require_size(image_size, known)
    limits, resizes = Limits(MAX_SECONDS, isolate=isolate), image_size is not None
    result = submissions.check(path, file_format, known, data, limits, rules, resizes)
    if as_json:
        document = {
            "ok": result.is_fit,
            "format": result.format,
            "images": result.images,
            "ipc": result.ipc,
            "pixels": result.pixels,
            "copies": asdict(result.copies) if result.copies else None,
            "findings": [asdict(finding) for finding in result.findings],
        }
        click.echo(json.dumps(document, indent=1))
    else:
        if result.pixels:
            count = f"{result.images:,} {plural(result.images, 'image')}"
            click.echo(
                f"{one_line(path)}: {count} of {known.name}, IPC {result.ipc}, {result.pixels}"
            )
        for finding in result.findings:
            is_error = finding.level == "error"
            click.echo(f"{finding.level}: {one_line(finding.text)}", err=is_error)
        click.echo("fit for scoring" if result.is_fit else "not fit for scoring")
    raise click.exceptions.Exit(0 if result.is_fit else 1)
