"""Commands that show what is installed and what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchmark_adapters import console
from benchmark_adapters import plugins as host
from benchmark_adapters.cli import shared
from benchmark_adapters.types import UserError
from leaderboard.analysis import sections as board
from leaderboard.records import store
from leaderboard.render import tables as table


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*host.KINDS, "options"]))
@click.argument("method", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(kind: str | None, method: str | None, as_json: bool) -> None:
    """Show what is installed, or the options of a METHOD."""
    parts = shared.host_of_plugins()
    if kind == "options":
        if method is None:
            raise UserError("name the method: ddbench list options METHOD")
        listing = {
            "options": {
                option.name: _option_text(option) for option in parts.get("methods", method).options
            }
        }
    elif method is not None:
        raise UserError(f"unexpected argument {method!r}; only `list options` takes a name")
    else:
        listing = {
            one: {name: part.summary for name, part in getattr(parts, one).items()}
            for one in ([kind] if kind else host.KINDS)
        }
    if as_json:
        click.echo(json.dumps(listing, indent=1))
        return
    width = max((len(name) for entries in listing.values() for name in entries), default=0)
    for title, entries in listing.items():
        click.echo(title)
        for name, text in entries.items() or {"": "none"}.items():
            click.echo(f"  {name:{width}}  {text}".rstrip())


def _option_text(option: Any) -> str:
    kind = "|".join(option.choices) if option.choices else option.type.__name__
    return f"{kind}. {option.help}"


@click.command("data")
@click.argument("name", required=False, metavar="[DATASET]")
@shared.DATA
@click.option(
    "--download", is_flag=True, help="Get the files of DATASET from where torchvision gets them."
)
def data_command(name: str | None, data: Path | None, download: bool) -> None:
    """Show which real datasets are here; how to get the rest.

    With the place and the hash of the test images of each.
    """
    from benchmark_adapters import datasets

    known = shared.host_of_plugins()
    chosen = [known.get("datasets", name)] if name else list(known.datasets.values())
    if download:
        if name is None:
            raise UserError("name the dataset: ddbench data DATASET --download")
        click.echo(f"downloaded to {datasets.download(chosen[0], data)}")
    missing = False
    for dataset in chosen:
        if dataset.bundled:
            test = datasets.load(dataset, "test", bundled=True)
            click.echo(
                f"{dataset.name}: {len(test[0]):,} test images bundled, sha256 {datasets.digest(*test)}"
            )
        try:
            folder = datasets.find(dataset, data)
            test = datasets.load(dataset, "test", data)
            click.echo(
                f"{dataset.name}: found in {folder}, {len(test[0]):,} test images, sha256 {datasets.digest(*test)}"
            )
        except UserError as error:
            missing = True
            click.echo(f"{dataset.name}: {error}")
    if name and missing:
        raise click.exceptions.Exit(1)


@click.command("show")
@click.argument("run")
@click.option(
    "--runs",
    type=shared.FOLDER,
    multiple=True,
    default=[shared.RUNS],
    help="Folder of runs.  [default: runs]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the record.")
def show_command(run: str, runs: tuple[Path, ...], as_json: bool) -> None:
    """Show a RUN: its folder, or how its id begins."""
    from leaderboard.render import report

    folder = shared.find(run, runs)
    try:
        record = store.read(folder)
    except ValueError as error:
        raise UserError(str(error)) from None
    click.echo(record.to_json().rstrip() if as_json else report.describe(record, folder))


@click.command("leaderboard")
@click.option("--track", help="One track.  [default: all]")
@click.option(
    "--runs",
    type=shared.FOLDER,
    multiple=True,
    default=[shared.RUNS],
    help="Folder of runs; may be given several times.  [default: runs]",
)
@click.option(
    "--format",
    "style",
    type=click.Choice([*table.FORMATS, "html"]),
    default="github",
    show_default=True,
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="File to write instead of printing; for html the folder of the pages.",
)
@console.DEBUG
def leaderboard_command(
    track: str | None, runs: tuple[Path, ...], style: str, output: Path | None
) -> None:
    """Show all runs as a table or a page, best first.

    Intervals are 95 % t intervals over the evaluation seeds; ranks are shared where Welch's test finds no difference. Published results
    stand apart.
    """
    parts = shared.host_of_plugins()
    if track:
        parts.get("tracks", track)
    datasets = {name: one.datasets for name, one in parts.tracks.items()}
    entries = shared.all_entries(list(runs))
    if style == "html":
        _page(entries, track, datasets, output)
        return
    text = table.render(board.build([record for _, record in entries], track, datasets), style)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output} can't be written: {error.strerror}") from None


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN [RUN ...]")
@click.option(
    "--runs",
    "roots",
    type=shared.FOLDER,
    multiple=True,
    default=[shared.RUNS],
    help="Folder of runs.  [default: runs]",
)
@click.option(
    "--output", type=shared.FOLDER, help="Folder for a page, with the images side by side."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@console.DEBUG
def compare_command(
    runs: tuple[str, ...], roots: tuple[Path, ...], output: Path | None, as_json: bool
) -> None:
    """Show how RUNs differ: settings, scores, classes.

    Each is compared with the first. A difference of scores is called one only where Welch's test finds it.
    """
    from leaderboard.analysis import comparison
    from leaderboard.render import comparison_tables, report
    from leaderboard.render import pages as page

    folders = [shared.find(run, roots) for run in runs]
    try:
        records = [store.read(folder) for folder in folders]
        found = comparison.compare(
            records,
            [
                report.class_names(record, folder)
                for record, folder in zip(records, folders, strict=True)
            ],
        )
        written = page.write_comparison(found, folders, output) if output else None
    except ValueError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"{output} can't be written: {error.strerror or error}") from None
    click.echo(comparison.to_json(found) if as_json else comparison_tables.describe(found))
    if written:
        click.echo(written, err=True)


def _page(entries: Any, track: str | None, datasets: Any, output: Path | None) -> None:
    from leaderboard.render import pages as page

    if output is None:
        raise UserError("--format html needs a folder for the pages: --output DIR")
    try:
        click.echo(page.write(entries, output, track, datasets))
    except ValueError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"{output} can't be written: {error.strerror or error}") from None
