"""Commands that make distilled sets."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import click

from benchmark_adapters import console
from benchmark_adapters.cli import shared
from benchmark_adapters.types import UserError, one_line
from leaderboard.records import store


@click.command("run")
@click.option(
    "--method", required=True, help="Name of the method; `ddbench list methods` shows all."
)
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
    help="Of the sampling, and the first of the evaluation seeds.",
)
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    help="For making one distilled set, model loading included.  [default: the track's]",
)
@shared.REPEATS
@shared.STUDENTS
@shared.DEVICE
@shared.OPTION
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
@shared.DATA
@shared.KEEP
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Only try the method for some seconds, and show what IPC the limit allows.",
)
@shared.AS_JSON
@console.DEBUG
@click.pass_context
def run_command(
    context: click.Context, /, students: str | None, only_plan: bool, as_json: bool, **asked: Any
) -> None:
    """Make a distilled set in time, score it, record it.

    Exit code 0: status ok; 1: the run ended otherwise and its record says why; 2: wrong usage.
    """
    from benchmark_adapters.runs import pipeline as harness
    from benchmark_adapters.runs import request as plan

    todo = plan.plan(
        plan.Request(students=shared.names(students), **asked), shared.host_of_plugins()
    )
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
        if record.interrupted:
            break
    shared.conclude(context, records, asked["runs"], as_json)


@click.command("rerun")
@click.argument("run")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Instead of the RUN's, of which records keep only the last name if it was a path.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="[default: the RUN's]"
)
@shared.DATA
@shared.KEEP
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@console.DEBUG
@click.pass_context
def rerun_command(
    context: click.Context, /, run: str, device: str | None, as_json: bool, **asked: Any
) -> None:
    """Make a RUN again with its settings and seed; compare.

    RUN is a folder, or how its id begins. Warnings tell what is other here than it was then. Exit code 0: status, images and
    accuracies are the same; 1: they are not; 2: wrong usage.
    """
    from benchmark_adapters.runs import request as plan
    from benchmark_adapters.runs import rerun as repeating

    folder = shared.find(run, [asked["runs"]])
    try:
        record = store.read(folder)
    except ValueError as error:
        raise UserError(str(error)) from None
    parts = shared.host_of_plugins()
    again = repeating.prepare(
        folder,
        record,
        plan.Request(method="", device=device or repeating.device_of(record), **asked),
        parts,
    )
    differences = repeating.surroundings(record)
    _say("warning", differences)
    _say("note", [again.note] if again.note else [])
    with contextlib.redirect_stdout(sys.stderr):
        made = again.make()
    new = store.read(made)
    shared.tell(new, made)
    later, agreement = repeating.used(record, new), repeating.compare(record, new)
    _say("warning", later)
    if new.status == "error" != record.status and record.explicit_options:
        _say(
            "note",
            [
                f"records keep the last name of a path: if one of {', '.join(record.explicit_options)} was a path, give it again by --option KEY=PATH"
            ],
        )
    if as_json:
        agrees = {
            "agrees": agreement.whole,
            "images_agree": agreement.images,
            "accuracies_agree": agreement.accuracies,
        }
        click.echo(
            json.dumps(
                {
                    **agrees,
                    "differences": differences + later,
                    "run": new.run_id,
                    "record": json.loads(new.to_json()),
                },
                indent=1,
            )
        )
    else:
        apart = (
            ""
            if agreement.images
            else repeating.pixels(folder, made, parts.get("datasets", record.dataset))
        )
        _compare(record, new, agreement, apart)
    context.exit(0 if agreement.whole else 1)


def _say(kind: str, lines: list[str]) -> None:
    for line in lines:
        click.echo(f"{kind}: {one_line(line)}", err=True)


def _compare(record: Any, new: Any, agreement: Any, pixels: str) -> None:
    """What is the same in two records, and how the rest differs."""
    from tabulate import tabulate

    from benchmark_adapters.runs import rerun as repeating

    click.echo(
        f"status: {f'the same ({new.status})' if agreement.status else f'{record.status} then, {new.status} now'}"
    )
    if not (record.images_sha256 and new.images_sha256):
        click.echo(
            f"images: no images to compare{'' if agreement.images else f', IPC {record.ipc} then, {new.ipc} now'}"
        )
    elif agreement.images:
        click.echo(f"images: the same (sha256 {new.images_sha256[:12]})")
    else:
        how = f"IPC {record.ipc} then, {new.ipc} now" if record.ipc != new.ipc else pixels
        click.echo(
            f"images: differ: sha256 {record.images_sha256[:12]} then, {new.images_sha256[:12]} now{how and f'; {how}'}"
        )
    if agreement.accuracies is not False:
        click.echo(
            f"accuracies: {'none to compare' if agreement.accuracies is None else f'the same, seeds: {record.n}'}"
        )
        return
    rows = [
        (one.student, one.seed, *map(_percent, (one.then, one.now)), _apart(one))
        for one in repeating.seeds(record, new)
    ]
    click.echo(
        f"accuracies: differ\n\n{tabulate(rows, headers=['student', 'seed', 'then %', 'now %', 'difference'], disable_numparse=True)}"
    )


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"


def _apart(one: Any) -> str:
    return "" if one.then is None or one.now is None else f"{100 * (one.now - one.then):+.2f}"


def _plan(todo: list[Any], as_json: bool) -> None:
    """What IPC the limit allows, for each dataset."""
    from dataclasses import asdict

    from tabulate import tabulate

    from benchmark_adapters.runs import estimate as cost

    documents = []
    for one in todo:
        with contextlib.redirect_stdout(sys.stderr):
            found, traces = cost.measure(one)
            name = f"{one.track.name}-{one.dataset.name}-{one.method.name}"
            plot = cost.save(one.runs / "plans", name, found, traces)
        rows = cost.table(found, one)
        documents.append(
            {"dataset": one.dataset.name, "limit": one.time_limit, **asdict(found), "plan": rows}
        )
        if not as_json:
            click.echo(
                f"{one.track.name}, {one.dataset.name}, limit {one.time_limit:g} s\n\n{tabulate(rows, headers='keys')}\n\nplot: {plot}"
            )
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
def merge_command(
    context: click.Context,
    /,
    shards: tuple[str, ...],
    students: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Join the shards that runs with --shard made, and score the set.

    A RUN is a folder, or how its id begins. Exit codes are those of `run`.
    """
    from benchmark_adapters.runs import merge as merging
    from benchmark_adapters.runs import request as plan

    folders = [shared.find(run, [asked["runs"]]) for run in shards]
    request = plan.Request(method="", students=shared.names(students), **asked)
    with contextlib.redirect_stdout(sys.stderr):
        folder = merging.merge(folders, shared.host_of_plugins(), request)
    record = store.read(folder)
    shared.tell(record, folder)
    shared.conclude(context, [record], asked["runs"], as_json)
