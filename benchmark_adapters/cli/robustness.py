"""``ddbench robustness``: DD-Ranking's metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options
from benchmark_adapters.types import UserError

if TYPE_CHECKING:
    from leaderboard.records.record import Record

PLAIN = "ddranking-plain/1"
NAMES = {
    "whole": "whole training set",
    "random_real": "random real images",
    "distilled_plain": "distilled, no augmentation",
    "random_real_plain": "random real images, no augmentation",
}


@dataclass(frozen=True)
class Reference:
    """The accuracy with the whole training set, and its source."""

    accuracy: float
    source: str


@click.command("robustness")
@click.argument("run")
@click.option(
    "--random",
    "random_run",
    metavar="RUN",
    required=True,
    help="Run of random-real with the same IPC, recipe and student.",
)
@click.option(
    "--whole",
    metavar="RUN|FRACTION",
    help="Accuracy with the whole training set, for LRS: a run of random-real --ipc max, or a "
    "published figure.",
)
@click.option("--source", metavar="TEXT", help="Source of a published figure for --whole.")
@click.option(
    "--plain",
    metavar="RUN",
    help="RUN scored without augmentation, for ARS: "
    "`ddbench score RUN --recipe ddranking-plain/1`.",
)
@click.option(
    "--random-plain",
    metavar="RUN",
    help="Run of random-real scored without augmentation, for ARS.",
)
@options.SEVERAL_RUNS
@options.JSON
@console.DEBUG
def robustness_command(
    run: str,
    random_run: str,
    whole: str | None,
    source: str | None,
    plain: str | None,
    random_plain: str | None,
    roots: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Compute DD-Ranking's LRS and ARS for a run.

    LRS needs --whole. ARS needs --plain and --random-plain. RUN, and each run that an option
    names, is a folder or the beginning of a run ID.

    Both scores use hard labels and the accuracy after the final epoch. DD-Ranking uses the best
    accuracy of all epochs on the test images, so its published figures are not comparable.
    """
    from leaderboard.analysis import ddranking

    if whole is None and plain is None:
        raise UserError("LRS needs --whole, ARS needs --plain and --random-plain")
    if (plain is None) != (random_plain is None):
        raise UserError("ARS needs both --plain and --random-plain")
    try:
        own = _record(run, roots)
        distilled = ddranking.accuracy(own, own, "run")
        random = ddranking.baseline(_record(random_run, roots), own, "--random")
        metrics = {"distilled": distilled, "random_real": random}
        reference = None
        if whole is not None:
            reference = _whole(whole, source, own, roots)
            metrics["whole"] = reference.accuracy
            metrics["LRS"] = ddranking.lrs(reference.accuracy, distilled, distilled, random)
        if plain is not None and random_plain is not None:
            metrics |= _without_augmentation(plain, random_plain, own, random, roots)
    except ValueError as error:
        raise UserError(str(error)) from None
    _print(metrics, reference, as_json)


def _without_augmentation(
    plain: str, random_plain: str, own: Record, random: float, roots: Sequence[Path]
) -> dict[str, float]:
    """Return the accuracies without augmentation, and ARS.

    Args:
        plain: the distilled set's run without augmentation.
        random_plain: a run of random real images without augmentation.
        own: record of the distilled set's run with augmentation.
        random: accuracy of random real images with augmentation.
        roots: runs folders.

    Returns:
        Accuracies and ARS by metric name.

    Raises:
        ValueError: the runs can't be compared.
    """
    from leaderboard.analysis import ddranking

    record = _record(plain, roots)
    if record.images_sha256 != own.images_sha256:
        raise ValueError(f"--plain {record.run_id} does not have the images of {own.run_id}")
    if record.recipe != PLAIN:
        raise ValueError(
            f"--plain {record.run_id} was scored with {record.recipe}, expected {PLAIN}"
        )
    distilled = ddranking.accuracy(own, own, "run")
    distilled_plain = ddranking.accuracy(record, own, "--plain", other="recipe_sha256")
    random_real = ddranking.baseline(_record(random_plain, roots), record, "--random-plain")
    return {
        "distilled_plain": distilled_plain,
        "random_real_plain": random_real,
        "ARS": ddranking.ars(distilled, random, distilled_plain, random_real),
    }


def _record(run: str, roots: Sequence[Path]) -> Record:
    from benchmark_adapters.runs.read import find_run
    from leaderboard.records import store

    return store.read(find_run(run, roots))


def _whole(whole: str, source: str | None, own: Record, roots: Sequence[Path]) -> Reference:
    """Return the accuracy of students trained on the whole training set."""
    from leaderboard.analysis import ddranking

    try:
        fraction = float(whole)
    except ValueError:
        record = _record(whole, roots)
        if record.ipc <= own.ipc or record.ipc_asked is not None:
            raise ValueError(
                f"--whole {record.run_id} does not use the whole training set: "
                "create a run with `ddbench run --method random-real --ipc max`"
            ) from None
        accuracy = ddranking.baseline(record, own, "--whole", other="ipc")
        return Reference(accuracy, f"run {record.run_id}")
    if not 0 < fraction <= 1:
        raise UserError(f"--whole {whole}: expected a fraction, more than 0 and at most 1")
    if not source:
        raise UserError("name the source of the --whole figure with --source TEXT")
    return Reference(fraction, source)


def _print(metrics: dict[str, float], reference: Reference | None, as_json: bool) -> None:
    if as_json:
        source = {"whole_source": reference.source} if reference else {}
        click.echo(json.dumps({**metrics, **source}, indent=1))
        return
    for key, value in metrics.items():
        note = f"  ({reference.source})" if reference and key == "whole" else ""
        click.echo(f"{NAMES.get(key, key):36} {value:.4f}{note}")
