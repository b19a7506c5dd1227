"""``ddbench run``: generate a distilled set and score it."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console, own_data
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import UserError, one_line

if TYPE_CHECKING:
    from benchmark_adapters.runs.estimate import TableRow
    from benchmark_adapters.runs.request import RunPlan

# Columns of the table of --plan.
PLAN = ("IPC", "sampled per class", "seconds", "in the limit", "scoring, up to")


@click.command("run")
@click.option(
    "--method",
    metavar="METHOD",
    required=True,
    help="Method to run; `ddbench list methods` lists them all. Or a Python file: FILE.py, or "
    "FILE.py:NAME.",
)
@click.option(
    "--track",
    metavar="TRACK",
    default="quickstart",
    show_default=True,
    help="Track to run on; `ddbench list tracks` lists them all. Or a file of your own: FILE.toml.",
)
@click.option(
    "--dataset",
    metavar="DATASET",
    help=f"Use only this dataset of the track; or {options.DATASET_HELP}  [default: all]",
)
@options.IMAGE_SIZE
@options.TEST_SPLIT
@click.option(
    "--ipc",
    metavar="N|max",
    help="Images per class; max: as many as the time limit allows.  [default: the track's]",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed for sampling; evaluation uses SEED, SEED+1, ...",
)
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    help="Time limit for generating one distilled set, including model loading.  "
    "[default: the track's]",
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
    help="Number of processes that share the sampling; with CUDA, each needs its own GPU.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Generate only part I of N (I from 0 to N-1) of the set, for `ddbench merge`.",
)
@click.option(
    "--memory-limit",
    type=float,
    metavar="GIB",
    help="Memory that all processes of the method may use together.  "
    "[default: three quarters of the machine's memory]",
)
@options.ISOLATE
@options.DATA
@options.RUNS
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Estimate the IPC that the time limit allows from a short trial, and exit.",
)
@options.RECORD_JSON
@console.FOLLOW
@console.loudness
@console.DEBUG
@click.pass_context
def run_command(
    context: click.Context,
    /,
    students: str | None,
    only_plan: bool,
    as_json: bool,
    dataset: str | None,
    image_size: int | None,
    test_split: str | None,
    **request: Any,
) -> None:
    """Generate a distilled set under a time limit and score it.

    Save a run with a record for each dataset of the track, then print the track's leaderboard.

    Exit codes: 0 if every run has status ok, 1 if not (the records say why), 2 for wrong usage.
    """
    from benchmark_adapters.runs import pipeline
    from benchmark_adapters.runs.request import Request, plan_runs
    from leaderboard.records import store

    if only_plan and (request["processes"] > 1 or request["shard"]):
        raise UserError("--plan measures a single process; leave out --processes and --shard")
    dataset = options.dataset(dataset, image_size, test_split)
    named = Request(students=options.names(students), dataset=dataset, **request)
    plans = plan_runs(named, output.installed_plugins())
    for plan in plans:
        if plan.scoring.dataset.folder:
            click.echo(one_line(own_data.describe(plan.scoring.dataset)), err=True)
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
    output.conclude(context, records, request["runs"], as_json, request["track"])


def _show_estimates(plans: list[RunPlan], as_json: bool) -> None:
    """Print an estimate of the IPC that the limit allows, for each dataset."""
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
            rows = _with_scoring(plan, estimate.table(cost, sampling))
        limit = sampling.time_limit
        documents.append({"dataset": dataset, "limit": limit, **asdict(cost), "plan": rows})
        if not as_json:
            title = f"{track}, {dataset}, limit {limit:g} s"
            table = tabulate(map(_shown, rows), headers=PLAN)
            click.echo(f"{title}\n\n{table}\n\nplot: {plot}")
    if as_json:
        click.echo(json.dumps(documents if len(documents) > 1 else documents[0], indent=1))


def _with_scoring(plan: RunPlan, rows: list[TableRow]) -> list[dict[str, Any]]:
    """Add the seconds that scoring takes to each row; None: it was not measured."""
    from dataclasses import asdict

    from benchmark_adapters.execution.sandbox import SandboxFailed
    from benchmark_adapters.runs import scoring_time

    seconds: list[int | None] = [None] * len(rows)
    if plan.scoring.seeds:
        with contextlib.suppress(SandboxFailed):
            measured = scoring_time.measure(plan.scoring, plan.sampling.ipc)
            seconds = [round(measured.seconds(row.ipc)) for row in rows]
    return [
        {**asdict(row), "scoring_seconds": value} for row, value in zip(rows, seconds, strict=True)
    ]


def _shown(row: dict[str, Any]) -> list[Any]:
    """Return the cells of one row of the table."""
    from leaderboard.text import duration

    *counts, fits, scoring = row.values()
    return [*counts, "yes" if fits else "no", duration(scoring) if scoring is not None else "-"]
