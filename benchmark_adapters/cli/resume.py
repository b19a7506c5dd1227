"""``ddbench resume``: go on with a run that was interrupted."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output


@click.command("resume")
@click.argument("run", required=False)
@options.RUNS
@options.RECORD_JSON
@console.FOLLOW
@console.loudness
@console.DEBUG
@click.pass_context
def resume_command(context: click.Context, /, run: str | None, runs: Path, as_json: bool) -> None:
    """Go on with a run that was interrupted or killed.

    RUN is the beginning of a run ID; without it, the newest run that can be resumed. Images and
    finished seeds are kept, and the time limit covers all sessions together. A run that has a
    record stays as it is, and a new run goes on from it.

    Exit codes: 0 if the run has status ok, 1 if not (the record says why), 2 for wrong usage.
    """
    from benchmark_adapters.runs import resume
    from leaderboard.records import store

    chosen, *others = resume.find(run, runs)
    (line, *lines) = resume.describe([chosen, *others])
    click.echo(f"going on with {line}", err=True)
    for other in lines:
        click.echo(f"can be resumed too: {other}", err=True)
    with contextlib.redirect_stdout(sys.stderr):
        folder = resume.resume(chosen, output.installed_plugins())
    record = store.read(folder)
    output.report_run(record, folder)
    output.conclude(context, [record], runs, as_json)
