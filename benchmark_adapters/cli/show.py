"""``ddbench show``: show one run."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output
from leaderboard.text import one_line


@click.command("show")
@click.argument("run")
@options.SEVERAL_RUNS
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@console.DEBUG
@click.pass_context
def show_command(context: click.Context, run: str, roots: tuple[Path, ...], as_json: bool) -> None:
    """Show the settings, scores and checks of a run.

    RUN is a folder or the beginning of a run ID.

    Exit codes: 0 if the run's images are as its record says, 1 if not, 2 for wrong usage.
    """
    from benchmark_adapters import track_demands
    from benchmark_adapters.runs import derived
    from benchmark_adapters.runs.read import damage, find_run, read_record
    from leaderboard.analysis import verdicts
    from leaderboard.render import report

    folder = find_run(run, roots)
    record = read_record(folder)
    derived.restore(folder, record)
    if as_json:
        click.echo(record.to_json().rstrip())
    else:
        demands = track_demands.known(output.installed_plugins(), [record])
        (judged,) = verdicts.judged([record], demands)
        click.echo(report.describe(judged, folder))
    if problem := damage(folder, record):
        click.echo(f"error: {one_line(problem, output.MAX_MESSAGE)}", err=True)
        context.exit(1)
