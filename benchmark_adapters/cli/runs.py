"""``ddbench runs`` and ``ddbench rm``: list saved runs, and remove some."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output
from leaderboard.text import one_line, plural

if TYPE_CHECKING:
    from leaderboard.records.record import Record

HEADERS = ("run", "track", "dataset", "method", "IPC", "accuracy %", "status", "MB")
MB = 1e6


@click.command("runs")
@click.option("--track", metavar="TRACK", help="List only runs on this track.")
@options.filters
@options.SEVERAL_RUNS
@options.JSON
@console.DEBUG
def runs_command(
    track: str | None,
    method: str | None,
    dataset: str | None,
    status: str | None,
    roots: tuple[Path, ...],
    as_json: bool,
) -> None:
    """List saved runs with their status and size, oldest first.

    Runs that were interrupted are listed on stderr if `ddbench resume` can go on with them.
    """
    from tabulate import tabulate

    from leaderboard.analysis.sections import matches

    wanted = {"track": track, "method": method, "dataset": dataset, "status": status}
    entries = [entry for entry in output.all_runs(roots) if matches(entry[1], wanted)]
    sizes = [_size(folder) for folder, _ in entries]
    if as_json:
        documents = [
            _document(folder, record, size)
            for (folder, record), size in zip(entries, sizes, strict=True)
        ]
        click.echo(json.dumps(documents, indent=1))
        return
    rows = [_row(record, size) for (_, record), size in zip(entries, sizes, strict=True)]
    if rows:
        click.echo(tabulate(rows, headers=HEADERS, disable_numparse=True))
    click.echo(f"{len(rows)} {plural(len(rows), 'run')}, {sum(sizes) / MB:.1f} MB", err=True)
    _print_resumable(roots)


def _print_resumable(roots: Sequence[Path]) -> None:
    """Print a line on stderr for each run that can be resumed."""
    from benchmark_adapters.runs import resume, unfinished

    for root in roots:
        for line in resume.describe(unfinished.entries(root)):
            click.echo(f"can be resumed: {line}", err=True)


@click.command("rm")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.SEVERAL_RUNS
@console.DEBUG
def rm_command(runs: tuple[str, ...], yes: bool, roots: tuple[Path, ...]) -> None:
    """Remove saved runs with their images and records.

    RUN is a folder or the beginning of a run ID. All are found before any is removed.

    Exit codes: 0 if all were removed, 1 if you did not agree, 2 for wrong usage.
    """
    from benchmark_adapters.runs.read import find_run
    from benchmark_adapters.types import UserError
    from leaderboard.records import store

    folders = list(dict.fromkeys(find_run(run, roots) for run in runs))
    for folder in folders:
        click.echo(f"{one_line(folder)}, {_size(folder) / MB:.1f} MB")
    if not yes:
        click.confirm(f"remove {len(folders)} {plural(len(folders), 'run')}?", abort=True)
    for folder in folders:
        try:
            store.remove(folder)
        except OSError as error:
            raise UserError(f"{folder} can't be removed: {error.strerror or error}") from None


def _row(record: Record, size: int) -> Sequence[str]:
    mean = record.accuracy_mean
    method = " ".join([record.method, *record.explicit_options])
    accuracy = "" if mean is None else f"{100 * mean:.2f}"
    texts = (record.run_id, record.track, record.dataset, method, str(record.ipc), accuracy)
    return [one_line(text, 60) for text in (*texts, record.status, f"{size / MB:.1f}")]


def _document(folder: Path, record: Record, size: int) -> dict[str, object]:
    names = ("run_id", "track", "dataset", "method", "explicit_options", "ipc", "accuracy_mean")
    facts = {name: getattr(record, name) for name in (*names, "status", "created")}
    return {**facts, "folder": str(folder), "bytes": size}


def _size(folder: Path) -> int:
    """Return the size of all files in a folder, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
