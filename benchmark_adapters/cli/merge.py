"""``ddbench merge``: merge the shards of a distilled set."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output


@click.command("merge")
@click.argument("shards", nargs=-1, required=True, metavar="RUN [RUN ...]")
@click.option(
    "--track",
    metavar="FILE.toml",
    help="File of the track, if the shards were made with one.  [default: the track of RUN]",
)
@options.REPEATS
@options.STUDENTS
@options.DEVICE
@options.BACKEND
@options.DATA
@options.RUNS
@options.RECORD_JSON
@console.loudness
@console.DEBUG
@click.pass_context
def merge_command(
    context: click.Context,
    /,
    shards: tuple[str, ...],
    track: str | None,
    students: str | None,
    as_json: bool,
    **request: Any,
) -> None:
    """Merge the shards of a distilled set and score it.

    RUN is a run made with `ddbench run --shard`: its folder or the beginning of its ID. Missing
    shards make the set smaller. The merged set is saved as a new run.

    Exit codes: 0 if the new run has status ok, 1 if not (its record says why), 2 for wrong usage.
    """
    from benchmark_adapters.runs.merge import merge
    from benchmark_adapters.runs.read import find_run
    from benchmark_adapters.runs.request import Request
    from leaderboard.records import store

    folders = [find_run(run, [request["runs"]]) for run in shards]
    named = Request(students=options.names(students), **request)
    plugins = output.installed_plugins()
    with contextlib.redirect_stdout(sys.stderr):
        folder = merge(folders, plugins, named, track)
    record = store.read(folder)
    output.report_run(record, folder)
    output.conclude(context, [record], request["runs"], as_json, track)
