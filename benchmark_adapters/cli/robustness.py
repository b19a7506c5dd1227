"""The command for DD-Ranking's metrics."""

from __future__ import annotations

import json
from typing import Any

import click

from benchmark_adapters import console
from benchmark_adapters.cli import shared
from benchmark_adapters.types import UserError
from leaderboard.analysis import ddranking
from leaderboard.records import store
from leaderboard.records.record import Record

PLAIN = "ddranking-plain/1"


@click.command("robustness")
@click.argument("run")
@click.option(
    "--random",
    "random_run",
    metavar="RUN",
    required=True,
    help="Of random-real with the same IPC, recipe and student.",
)
@click.option(
    "--whole",
    metavar="RUN|FRACTION",
    help="Accuracy with the whole training set: a run of random-real --ipc max, or a published figure.",
)
@click.option("--source", metavar="TEXT", help="Where a published figure is from.")
@click.option(
    "--plain",
    metavar="RUN",
    help="The set scored without augmentation, for ARS: `ddbench score RUN --recipe ddranking-plain/1`.",
)
@click.option(
    "--random-plain", metavar="RUN", help="Random real images scored without augmentation, for ARS."
)
@click.option(
    "--runs",
    "roots",
    type=shared.FOLDER,
    multiple=True,
    default=[shared.RUNS],
    help="Folder of runs.  [default: runs]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@console.DEBUG
def robustness_command(
    run: str,
    random_run: str,
    whole: str | None,
    source: str | None,
    plain: str | None,
    random_plain: str | None,
    **rest: Any,
) -> None:
    """DD-Ranking's LRS (with --whole) and ARS (with --plain and --random-plain) of a RUN.

    By hard labels and the final epoch's accuracy, where DD-Ranking takes the best that it saw on test images: not comparable
    with figures that it published.
    """
    if whole is None and plain is None:
        raise UserError("LRS needs --whole, ARS needs --plain and --random-plain")
    if (plain is None) != (random_plain is None):
        raise UserError("ARS needs both --plain and --random-plain")
    roots, found = rest["roots"], {}
    try:
        own = _record(run, roots)
        syn = ddranking.accuracy(own, own, "run")
        random = ddranking.baseline(_record(random_run, roots), own, "--random")
        found = {"distilled": syn, "random_real": random}
        if whole is not None:
            found |= _whole(whole, source, own, roots)
            found["LRS"] = ddranking.lrs(found["whole"], syn, syn, random)
        if plain is not None and random_plain is not None:
            without = _record(plain, roots)
            if without.images_sha256 != own.images_sha256:
                raise ValueError(f"--plain {without.run_id} is of other images than {own.run_id}")
            if without.recipe != PLAIN:
                raise ValueError(
                    f"--plain {without.run_id} is scored by {without.recipe}, expected {PLAIN}"
                )
            found["distilled_plain"] = ddranking.accuracy(
                without, own, "--plain", other="recipe_sha256"
            )
            found["random_real_plain"] = ddranking.baseline(
                _record(random_plain, roots), without, "--random-plain"
            )
            found["ARS"] = ddranking.ars(
                syn, random, found["distilled_plain"], found["random_real_plain"]
            )
    except ValueError as error:
        raise UserError(str(error)) from None
    _print(found, rest["as_json"])


def _record(run: str, roots: Any) -> Record:
    return store.read(shared.find(run, roots))


def _whole(whole: str, source: str | None, own: Record, roots: Any) -> dict[str, Any]:
    """The accuracy of students of the whole training set, and where it is from."""
    try:
        fraction = float(whole)
    except ValueError:
        record = _record(whole, roots)
        if record.ipc <= own.ipc or record.ipc_asked is not None:
            raise ValueError(
                f"--whole {record.run_id} is not of the whole training set: make one with `--method random-real --ipc max`"
            ) from None
        return {
            "whole": ddranking.baseline(record, own, "--whole", other="ipc"),
            "whole_source": f"run {record.run_id}",
        }
    if not 0 < fraction <= 1:
        raise UserError(f"--whole {whole}: accuracies are fractions, more than 0 and at most 1")
    if not source:
        raise UserError("say where the figure is from: --source TEXT")
    return {"whole": fraction, "whole_source": source}


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    names = {
        "whole": "whole training set",
        "random_real": "random real images",
        "distilled_plain": "distilled, no augmentation",
    }
    names |= {"random_real_plain": "random real images, no augmentation"}
    for key, value in found.items():
        if key != "whole_source":
            note = f"  ({found['whole_source']})" if key == "whole" else ""
            click.echo(f"{names.get(key, key):36} {value:.4f}{note}")
