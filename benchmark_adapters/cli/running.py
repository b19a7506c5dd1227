"""Commands that make distilled sets."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import click

from benchmark_adapters import console
from benchmark_adapters.cli import shared
from leaderboard import store


@click.command("run")
@click.option("--method", required=True, help="Name of the method; `ddbench list methods` shows all.")
@click.option("--track", default="quickstart", show_default=True)
@click.option("--dataset", help="One dataset of the track.  [default: all]")
@click.option("--ipc", metavar="N|max", help="Images per class, or as many as fit into the time limit.  [default: the track's]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampling, and the first of the evaluation seeds.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="For making one distilled set, model loading included.  [default: the track's]")
@shared.REPEATS
@shared.STUDENTS
@shared.DEVICE
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A setting of the method; `ddbench list options METHOD` shows all.")
@click.option("--processes", type=int, default=1, show_default=True, metavar="N", help="Processes that make the set together, a GPU for each.")
@click.option("--shard", metavar="I/N", help="Make the I-th of N parts of a set, I from 0, for `ddbench merge`.")
@shared.DATA
@shared.KEEP
@click.option("--plan", "only_plan", is_flag=True, help="Only try the method for some seconds, and show what IPC the limit allows.")
@shared.AS_JSON
@console.DEBUG
@click.pass_context
def run_command(context: click.Context, /, students: str | None, only_plan: bool, as_json: bool, **asked: Any) -> None:
    """Make a distilled set in time, score it, record it.

    Exit code 0: status ok; 1: the run ended otherwise and its record says why; 2: wrong usage.
    """
    from benchmark_adapters import harness, plan
    from benchmark_adapters.supervisor import INTERRUPTED

    todo = plan.plan(plan.Request(students=shared.names(students), **asked), shared.host_of_plugins())
    if only_plan:
        _plan(todo, as_json)
        return
    records = []
    for one in todo:
        with contextlib.redirect_stdout(sys.stderr):
            folder = harness.run(one)
        record = store.read(folder)
        records.append(record)
        shared.tell(record, folder)
        if INTERRUPTED in record.message:
            break
    shared.conclude(context, records, asked["runs"], as_json)


def _plan(todo: list[Any], as_json: bool) -> None:
    """What IPC the limit allows, for each dataset."""
    from dataclasses import asdict

    from tabulate import tabulate

    from benchmark_adapters import cost

    documents = []
    for one in todo:
        with contextlib.redirect_stdout(sys.stderr):
            found, traces = cost.measure(one)
            name = f"{one.track.name}-{one.dataset.name}-{one.method.name}"
            plot = cost.save(one.runs / "plans", name, found, traces)
        rows = cost.table(found, one)
        documents.append({"dataset": one.dataset.name, "limit": one.time_limit, **asdict(found), "plan": rows})
        if not as_json:
            click.echo(f"{one.track.name}, {one.dataset.name}, limit {one.time_limit:g} s\n\n{tabulate(rows, headers='keys')}\n\nplot: {plot}")
    if as_json:
        click.echo(json.dumps(documents if len(documents) > 1 else documents[0], indent=1))


@click.command("merge")
@click.argument("shards", nargs=-1, required=True, metavar="RUN [RUN ...]")
@shared.REPEATS
@shared.STUDENTS
@shared.DEVICE
@shared.DATA
@shared.KEEP
@shared.AS_JSON
@console.DEBUG
@click.pass_context
def merge_command(context: click.Context, /, shards: tuple[str, ...], students: str | None, as_json: bool, **asked: Any) -> None:
    """Join the shards that runs with --shard made, and score the set.

    A RUN is a folder, or how its id begins. Exit codes are those of `run`.
    """
    from benchmark_adapters import merging, plan

    folders = [shared.find(run, [asked["runs"]]) for run in shards]
    request = plan.Request(method="", students=shared.names(students), **asked)
    with contextlib.redirect_stdout(sys.stderr):
        folder = merging.merge(folders, shared.host_of_plugins(), request)
    record = store.read(folder)
    shared.tell(record, folder)
    shared.conclude(context, [record], asked["runs"], as_json)
