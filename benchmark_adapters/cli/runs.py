"""``ddbench runs`` and ``ddbench rm``: list saved runs, and remove some."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console, files
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import UserError
from leaderboard.text import one_line, plural, shown_path

if TYPE_CHECKING:
    from leaderboard.records.record import Record
    from leaderboard.records.store import Leftover

HEADERS = ("run", "track", "dataset", "method", "IPC", "accuracy %", "status", "MB")
MB = 1e6
# Runs to list unless --last says otherwise.
LAST = 1000
# What the list says about a run.
Facts = dict[str, Any]
KINDS = {
    "run": "a run that was cut off",
    "kept": "what a run that was cut off can be resumed from",
    "removal": "a run that was being removed",
    "output": "a file or folder that was being written",
}


@click.command("runs")
@click.option("--track", metavar="TRACK", help="List only runs on this track.")
@options.filters
@options.SEVERAL_RUNS
@click.option(
    "--last",
    type=click.IntRange(min=0),
    help=f"How many of the newest runs to list; 0: all.  [default: {LAST:,}; all with --json]",
)
@options.JSON
@console.DEBUG
@click.pass_context
def runs_command(
    context: click.Context,
    /,
    track: str | None,
    method: str | None,
    dataset: str | None,
    status: str | None,
    roots: tuple[Path, ...],
    last: int | None,
    as_json: bool,
) -> None:
    """List saved runs with their status and size, oldest first.

    Only as many records are read as are listed, from the newest on. Runs that `ddbench resume` can
    go on with, and what killed processes left behind, are listed on stderr.

    Exit codes: 0 if all of these could be read, 1 if not (the others are listed), 2 for wrong
    usage.
    """
    from leaderboard.records import store

    wanted = {"track": track, "method": method, "dataset": dataset, "status": status}
    most = last if last is not None else 0 if as_json else LAST
    with store.found(roots) as (folders, problems):
        listed, unread = _newest(reversed(folders), wanted, most)
        is_cut = len(listed) == most < len(folders)
    output.warn([*problems, *unread])
    _print(listed, as_json, is_cut)
    _print_resumable(roots)
    if left := store.leftovers(roots):
        for leftover in left:
            click.echo(f"unfinished: {_describe(leftover)}", err=True)
        click.echo("remove what is unfinished with: ddbench rm --unfinished", err=True)
    context.exit(1 if problems or unread else 0)


def _newest(
    newest_first: Iterable[str], wanted: Mapping[str, str | None], most: int
) -> tuple[list[Facts], list[str]]:
    """Return the newest runs with the wanted values, oldest first, and what could not be read.

    ``newest_first`` are the folders of all runs. ``most`` is the number of runs; 0: all.
    """
    from leaderboard.analysis.sections import matches
    from leaderboard.records import store

    problems: list[str] = []
    entries = store.read_all(map(Path, newest_first), problems)
    matching = (_facts(folder, record) for folder, record in entries if matches(record, wanted))
    listed = list(islice(matching, most or None))
    return listed[::-1], problems[::-1]


def _print_resumable(roots: Sequence[Path]) -> None:
    """Print a line on stderr for each run that can be resumed."""
    from benchmark_adapters.runs import resume, unfinished

    for root in roots:
        for line in resume.describe(unfinished.entries(root)):
            click.echo(f"can be resumed: {line}", err=True)


def _print(listed: Sequence[Facts], as_json: bool, is_cut: bool) -> None:
    """Print runs as a table or as JSON. ``is_cut`` says that older ones are left out."""
    from tabulate import tabulate

    if as_json:
        click.echo(json.dumps(listed, indent=1))
        return
    if listed:
        click.echo(tabulate(map(_row, listed), headers=HEADERS, disable_numparse=True))
    count = f"{len(listed):,} {plural(len(listed), 'run')}"
    size = f"{sum(facts['bytes'] for facts in listed) / MB:.1f} MB"
    if is_cut:
        click.echo(f"the newest {count}, {size}; --last 0 lists all", err=True)
    else:
        click.echo(f"{count}, {size}", err=True)


@click.command("rm")
@click.argument("runs", nargs=-1, metavar="[RUN ...]")
@click.option(
    "--unfinished", is_flag=True, help="Remove what killed processes left in and beside the folder."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.SEVERAL_RUNS
@console.DEBUG
@click.pass_context
def rm_command(
    context: click.Context,
    /,
    runs: tuple[str, ...],
    unfinished: bool,
    yes: bool,
    roots: tuple[Path, ...],
) -> None:
    """Remove saved runs with their images and records, or what is unfinished.

    RUN is a folder or the beginning of a run ID. All are found before any is removed.

    Exit codes: 0 if all were removed, 1 if not or if you did not agree, 2 for wrong usage.
    """
    from benchmark_adapters.runs.read import find_run
    from leaderboard.records import store

    if not runs and not unfinished:
        raise UserError("name the runs to remove, or add --unfinished")
    folders = list(dict.fromkeys(find_run(run, roots) for run in runs))
    left = store.leftovers(roots) if unfinished else []
    for folder in folders:
        click.echo(f"{shown_path(folder)}, {files.size(folder) / MB:.1f} MB")
    for leftover in left:
        click.echo(_describe(leftover))
    count = len(folders) + len(left)
    if count and not yes:
        kind = "folder" if unfinished else "run"
        click.confirm(f"remove {count} {plural(count, kind)}?", abort=True)
    removed = [_removed(folder, store.remove) for folder in folders]
    removed += [_removed(leftover.path, store.clear) for leftover in left]
    context.exit(0 if all(removed) else 1)


def _removed(folder: Path, remove: Callable[[Path], None]) -> bool:
    """Remove a folder. If that fails, say so and return False."""
    try:
        remove(folder)
    except OSError as error:
        reason = error.strerror or error
        click.echo(f"error: {shown_path(folder)} can't be removed: {one_line(reason)}", err=True)
        return False
    return True


def _describe(leftover: Leftover) -> str:
    return f"{shown_path(leftover.path)}, {KINDS[leftover.kind]}, {leftover.size / MB:.1f} MB"


def _row(facts: Facts) -> Sequence[str]:
    mean = facts["accuracy_mean"]
    method = " ".join([facts["method"], *facts["explicit_options"]])
    accuracy = "" if mean is None else f"{100 * mean:.2f}"
    texts = (facts["run_id"], facts["track"], facts["dataset"], method, facts["ipc"], accuracy)
    size = f"{facts['bytes'] / MB:.1f}"
    return [one_line(text, 60) for text in (*texts, facts["status"], size)]


def _facts(folder: Path, record: Record) -> Facts:
    """Return what the list says about a run."""
    names = ("run_id", "track", "dataset", "method", "explicit_options", "ipc", "accuracy_mean")
    facts = {name: getattr(record, name) for name in (*names, "status", "created")}
    return {**facts, "folder": str(folder), "bytes": files.size(folder)}
