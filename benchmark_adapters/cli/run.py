"""``ddbench run``: make a distilled set and score it."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output

if TYPE_CHECKING:
    from benchmark_adapters.runs.request import RunPlan


@click.command("run")
@click.option("--method", required=True, help="Name; `ddbench list methods` shows all.")
@click.option("--track", default="quickstart", show_default=True)
@click.option("--dataset", help="One dataset of the track.  [default: all]")
@click.option(
    "--ipc",
    metavar="N|max",
    help="Images per class, or as many as fit into the time limit.  [default: the track's]",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed for sampling; evaluation uses SEED, SEED + 1, ...",
)
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    help="For making one distilled set, model loading included.  [default: the track's]",
)
@options.REPEATS
@options.STUDENTS
@options.DEVICE
@options.BACKEND
@options.METHOD_OPTION
@click.option(
    "--processes",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that make the set together, a GPU for each.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Make the I-th of N parts of a set, I from 0, for `ddbench merge`.",
)
@options.DATA
@options.RUNS
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Only try the method for some seconds, and show what IPC the limit allows.",
)
@options.RECORD_JSON
@console.DEBUG
@click.pass_context
def run_command(
    context: click.Context,
    /,
    students: str | None,
    only_plan: bool,
    as_json: bool,
    **request: Any,
) -> None:
    """Make a distilled set in time, score it, record it.

    Exit code 0: status ok; 1: the run ended otherwise and its record says why; 2: wrong usage.
    """
    from benchmark_adapters.runs import pipeline
    from benchmark_adapters.runs.request import Request, plan_runs
    from leaderboard.records import store

    named = Request(students=options.names(students), **request)
    plans = plan_runs(named, output.installed_plugins())
    if only_plan:
        _show_estimates(plans, as_json)
        return
    records = []
    for plan in plans:
        with contextlib.redirect_stdout(sys.stderr):
            folder = pipeline.run(plan)
        records.append(store.read(folder))
        output.report_run(records[-1], folder)
        if records[-1].interrupted:
            break
    output.conclude(context, records, request["runs"], as_json)


def _show_estimates(plans: list[RunPlan], as_json: bool) -> None:
    """Show what IPC the limit allows, for each dataset."""
    from dataclasses import asdict

    from tabulate import tabulate

    from benchmark_adapters.runs import estimate

    documents = []
    for plan in plans:
        sampling = plan.sampling
        track, dataset = sampling.track.name, sampling.dataset.name
        with contextlib.redirect_stdout(sys.stderr):
            cost, traces = estimate.measure(sampling)
            name = f"{track}-{dataset}-{sampling.method.name}"
            plot = estimate.save(plan.scoring.runs / "plans", name, cost, traces)
        rows = [
            {
                "IPC": row.ipc,
                "sampled per class": row.sampled_per_class,
                "seconds": row.seconds,
                "in the limit": "yes" if row.fits else "no",
            }
            for row in estimate.table(cost, sampling)
        ]
        limit = sampling.time_limit
        documents.append({"dataset": dataset, "limit": limit, **asdict(cost), "plan": rows})
        if not as_json:
            title = f"{track}, {dataset}, limit {limit:g} s"
            click.echo(f"{title}\n\n{tabulate(rows, headers='keys')}\n\nplot: {plot}")
    if as_json:
        click.echo(json.dumps(documents if len(documents) > 1 else documents[0], indent=1))
