"""``ddbench rerun``: repeat a run and compare the results."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import one_line

if TYPE_CHECKING:
    from benchmark_adapters.runs.rerun import Agreement, SeedPair
    from leaderboard.records.record import Record


@click.command("rerun")
@click.argument("run")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override an option of RUN; repeatable. Needed for paths: a record keeps only the last "
    "component of a path.",
)
@options.own_dataset
@click.option("--device", type=options.DEVICES, help="Device to run on.  [default: that of RUN]")
@options.ISOLATE
@options.DATA
@options.RUNS
@options.JSON
@console.FOLLOW
@console.loudness
@console.DEBUG
@click.pass_context
def rerun_command(
    context: click.Context,
    /,
    run: str,
    dataset: str | None,
    image_size: int | None,
    test_split: str | None,
    track: str | None,
    device: str | None,
    as_json: bool,
    **request: Any,
) -> None:
    """Repeat a run with its settings and seed, and compare.

    RUN is a folder or the beginning of a run ID. The repetition is saved as a new run. A run made
    with `ddbench score` is scored again from its saved images. Warnings list what has changed
    since the original run: versions, hardware, data.

    Exit codes: 0 if status, images and accuracies are the same, 1 if not, 2 for wrong usage.
    """
    from benchmark_adapters.runs import rerun
    from benchmark_adapters.runs.read import damage, find_run, read_record
    from benchmark_adapters.runs.request import Request
    from leaderboard.records import store

    folder = find_run(run, [request["runs"]])
    record = read_record(folder)
    plugins = output.installed_plugins()
    named = Request(
        dataset=options.dataset(dataset, image_size, test_split),
        device=device or rerun.device_of(record),
        **request,
    )
    plan = rerun.prepare(folder, record, named, plugins, track)
    differences = rerun.environment_diff(record)
    if problem := damage(folder, record):
        _print_lines("warning", [problem])
    _print_lines("warning", differences)
    _print_lines("note", [plan.note] if plan.note else [])
    with contextlib.redirect_stdout(sys.stderr):
        new_folder = plan.make()
    new = store.read(new_folder)
    output.report_run(new, new_folder)
    later, agreement = rerun.runtime_diff(record, new), rerun.compare(record, new)
    _print_lines("warning", later)
    if new.status == "error" != record.status and record.explicit_options:
        given = ", ".join(record.explicit_options)
        advice = f"if one of {given} was a path, pass it again with --option KEY=PATH"
        _print_lines("note", [f"a record keeps only the last component of a path: {advice}"])
    if as_json:
        _print_json(new, agreement, differences + later)
    else:
        pixels = "" if agreement.images else rerun.pixel_difference(folder, new_folder)
        _print_comparison(record, new, agreement, pixels)
    context.exit(0 if agreement.is_whole else 1)


def _print_lines(kind: str, lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(f"{kind}: {one_line(line)}", err=True)


def _print_json(new: Record, agreement: Agreement, differences: list[str]) -> None:
    document = {
        "agrees": agreement.is_whole,
        "images_agree": agreement.images,
        "accuracies_agree": agreement.accuracies,
        "differences": differences,
        "run": new.run_id,
        "record": json.loads(new.to_json()),
    }
    click.echo(json.dumps(document, indent=1))


def _print_comparison(record: Record, new: Record, agreement: Agreement, pixels: str) -> None:
    """Print what is the same in two records and how the rest differs."""
    from tabulate import tabulate

    from benchmark_adapters.runs import rerun

    if agreement.status:
        click.echo(f"status: the same ({new.status})")
    else:
        click.echo(f"status: {record.status} then, {new.status} now")
    click.echo(f"images: {_compared_images(record, new, agreement, pixels)}")
    if agreement.accuracies is not False:
        is_none = agreement.accuracies is None
        click.echo(
            f"accuracies: {'none to compare' if is_none else f'the same, seeds: {record.n}'}"
        )
        return
    rows = [
        (pair.student, pair.seed, _percent(pair.before), _percent(pair.after), _change(pair))
        for pair in rerun.seed_pairs(record, new)
    ]
    headers = ["student", "seed", "then %", "now %", "difference"]
    table = tabulate(rows, headers=headers, disable_numparse=True)
    click.echo(f"accuracies: differ\n\n{table}")


def _compared_images(record: Record, new: Record, agreement: Agreement, pixels: str) -> str:
    sizes = f"IPC {record.ipc} then, {new.ipc} now"
    if not (record.images_sha256 and new.images_sha256):
        return f"no images to compare{'' if agreement.images else f', {sizes}'}"
    if agreement.images:
        return f"the same (sha256 {new.images_sha256[:12]})"
    how = sizes if record.ipc != new.ipc else pixels
    hashes = f"sha256 {record.images_sha256[:12]} then, {new.images_sha256[:12]} now"
    return f"differ: {hashes}{how and f'; {how}'}"


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"


def _change(pair: SeedPair) -> str:
    if pair.before is None or pair.after is None:
        return ""
    return f"{100 * (pair.after - pair.before):+.2f}"
