"""``ddbench show``: show one run."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output


@click.command("show")
@click.argument("run")
@options.SEVERAL_RUNS
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@console.DEBUG
def show_command(run: str, roots: tuple[Path, ...], as_json: bool) -> None:
    """Show the settings, scores and checks of a run.

    RUN is a folder or the beginning of a run ID.
    """
    from benchmark_adapters import track_demands
    from benchmark_adapters.runs.read import find_run, read_record
    from leaderboard.analysis import verdicts
    from leaderboard.render import report

    folder = find_run(run, roots)
    record = read_record(folder)
    if as_json:
        click.echo(record.to_json().rstrip())
        return
    demands = track_demands.known(output.installed_plugins(), [record])
    (judged,) = verdicts.judged([record], demands)
    click.echo(report.describe(judged, folder))
