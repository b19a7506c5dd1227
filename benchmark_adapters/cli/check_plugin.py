"""``ddbench check-plugin``: check that a method meets the plugin contract."""

from __future__ import annotations

import json
from typing import Any

import click

from benchmark_adapters import track_files
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import one_line

TRIAL_SECONDS = 20.0


@click.command("check-plugin")
@click.argument("method")
@click.option(
    "--track", metavar="TRACK", default="quickstart", show_default=True, help="Track to try."
)
@click.option(
    "--dataset", metavar="DATASET", help="Dataset of the track to try.  [default: the first]"
)
@options.DEVICE
@options.METHOD_OPTION
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    default=TRIAL_SECONDS,
    show_default=True,
    help="Time limit of each trial, including model loading.",
)
@options.DATA
@options.JSON
@click.option(
    "--debug",
    is_flag=True,
    help="Show tracebacks and the method's output in failed trials.",
)
def check_plugin_command(
    method: str, dataset: str | None, as_json: bool, debug: bool, **request: Any
) -> None:
    """Check that a method meets the plugin contract.

    Run METHOD, the name of an installed method or a Python file, in short trials and print the
    result of each check. Nothing is recorded.

    Exit codes: 0 if no check failed, 1 if one failed, 2 for wrong usage.
    """
    from benchmark_adapters.runs import plugin_check
    from benchmark_adapters.runs.request import Request, plan_runs
    from benchmark_adapters.runs.trials import IPC

    plugins = output.installed_plugins()
    dataset = dataset or track_files.find(plugins, request["track"]).datasets[0]
    (plan,) = plan_runs(Request(method, dataset=dataset, ipc=IPC, repeats=0, **request), plugins)
    checks, width = [], max(map(len, plugin_check.CHECKS))
    for check in plugin_check.check(plan.sampling):
        checks.append(check)
        if not as_json:
            click.echo(f"{check.status:7}  {check.name:{width}}  {one_line(check.text)}")
        if debug and check.log:
            click.echo(check.log, err=True)
    failed = [check.name for check in checks if check.status == "failed"]
    if as_json:
        results = [
            {"name": check.name, "status": check.status, "text": check.text} for check in checks
        ]
        click.echo(json.dumps({"ok": not failed, "checks": results}, indent=1))
    else:
        click.echo(f"{method} fails: {', '.join(failed)}" if failed else f"{method} passes")
    raise click.exceptions.Exit(1 if failed else 0)
