"""The command for authors of methods."""

from __future__ import annotations

import json
from typing import Any

import click

from benchmark_adapters.cli import shared
from benchmark_adapters.types import one_line

LIMIT = 20.0


@click.command("check-plugin")
@click.argument("method")
@click.option("--track", default="quickstart", show_default=True)
@click.option("--dataset", help="One dataset of the track.  [default: its first]")
@shared.DEVICE
@shared.OPTION
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    default=LIMIT,
    show_default=True,
    help="Of each trial, model loading included.",
)
@shared.DATA
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--debug",
    is_flag=True,
    help="Show tracebacks, and what the method printed in a trial that broke down.",
)
def check_plugin_command(
    method: str, dataset: str | None, as_json: bool, debug: bool, **asked: Any
) -> None:
    """Check that a METHOD keeps its contract, in short trials.

    Nothing is recorded. Exit code 0: it does; 1: it doesn't; 2: wrong usage.
    """
    from benchmark_adapters.runs import plugin_check as conformance
    from benchmark_adapters.runs import request as plan

    host = shared.host_of_plugins()
    chosen = dataset or host.get("tracks", asked["track"]).datasets[0]
    (todo,) = plan.plan(
        plan.Request(method, dataset=chosen, ipc=conformance.IPC, repeats=0, **asked), host
    )
    found, width = [], max(map(len, conformance.CHECKS))
    for check in conformance.check(todo):
        found.append(check)
        if not as_json:
            click.echo(f"{check.status:7}  {check.name:{width}}  {one_line(check.text)}")
        if debug and check.log:
            click.echo(check.log, err=True)
    failed = [check.name for check in found if check.status == "failed"]
    if as_json:
        checks = [
            {"name": check.name, "status": check.status, "text": check.text} for check in found
        ]
        click.echo(json.dumps({"ok": not failed, "checks": checks}, indent=1))
    else:
        click.echo(f"{method} fails: {', '.join(failed)}" if failed else f"{method} passes")
    raise click.exceptions.Exit(1 if failed else 0)
