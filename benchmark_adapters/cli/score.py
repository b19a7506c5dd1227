"""``ddbench score``: check sets that exist already, and train students on them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import UserError

if TYPE_CHECKING:
    from benchmark_adapters.execution.sandbox import Limits
    from benchmark_adapters.plugins import Plugins
    from benchmark_adapters.runs.submissions import Submission

DAY = 86_400.0
MAX_SECONDS = 30 * DAY
MAX_GIB = 2**20


@click.command("score")
@click.argument("path", metavar="PATH|RUN")
@click.option(
    "--format",
    "format_name",
    metavar="FORMAT",
    help="Of the files at PATH; `ddbench list formats` shows all. A RUN needs none.",
)
@click.option("--track", help="[default: the RUN's]")
@click.option(
    "--name",
    metavar="TEAM",
    help="The team that the set is from. Without it each folder at PATH is a team.",
)
@click.option("--dataset", help="One dataset of the track.  [default: all]")
@click.option("--recipe", help="Instead of the track's.")
@click.option(
    "--seed", type=int, help="The first evaluation seed.  [default: the RUN's; for files 0]"
)
@options.REPEATS
@options.STUDENTS
@options.DEVICE
@options.BACKEND
@click.option(
    "--official",
    "checkout",
    type=click.Path(path_type=Path),
    metavar="CHECKOUT",
    help="Also run the challenge's evaluate.py in this folder of yours.",
)
@click.option("--native", "old_checkout", type=click.Path(path_type=Path), hidden=True)
@click.option(
    "--max-seconds",
    type=float,
    default=DAY,
    show_default=True,
    help="For scoring one set on one dataset.",
)
@click.option(
    "--max-memory",
    type=float,
    metavar="GIB",
    help="For scoring one set.  [default: three quarters of the machine's]",
)
@options.DATA
@options.RUNS
@options.RECORD_JSON
@console.DEBUG
@click.pass_context
def score_command(
    context: click.Context,
    /,
    path: str,
    format_name: str | None,
    name: str | None,
    students: str | None,
    seed: int | None,
    checkout: Path | None,
    old_checkout: Path | None,
    max_seconds: float,
    max_memory: float | None,
    as_json: bool,
    **request: Any,
) -> None:
    """Check a set and train students on it; write a record.

    PATH is a file or folder of a FORMAT, or a folder with such a folder for each team. A RUN is
    scored again, for example with other --students or another --recipe. Exit code 0: all were
    scored; 1: some were not, and their records say why; 2: wrong usage.
    """
    from benchmark_adapters.runs import submissions
    from benchmark_adapters.runs.request import Request
    from leaderboard.records import store

    plugins, limits = output.installed_plugins(), _limits(max_seconds, max_memory)
    sets = _submissions(path, format_name, name, plugins, request)
    track = request.pop("track") or (sets[0].record.track if sets[0].record else "")
    named = Request(track=track, students=options.names(students), limits=limits, **request)
    records = []
    for submission in sets:
        with contextlib.redirect_stdout(sys.stderr):
            official = checkout or old_checkout
            for folder in submissions.score(submission, named, plugins, official, seed):
                records.append(store.read(folder))
                output.report_run(records[-1], folder)
        if records[-1].interrupted:
            break
    output.conclude(context, records, request["runs"], as_json)


def _submissions(
    path: str, format_name: str | None, name: str | None, plugins: Plugins, request: dict[str, Any]
) -> list[Submission]:
    """Return the sets to score."""
    from benchmark_adapters.runs import submissions
    from benchmark_adapters.runs.read import find_run

    if format_name is None:
        submission = submissions.of_run(find_run(path, [request["runs"]]))
        if name is not None:
            raise UserError(
                "--name is for files; a run has its method's name. For files give their --format"
            )
        return [submission]
    if request["track"] is None:
        raise UserError("name the track of the files: --track")
    track = plugins.tracks.require(request["track"])
    names = [request["dataset"]] if request["dataset"] else track.datasets
    wanted = [plugins.datasets.require(dataset) for dataset in names]
    file_format = plugins.formats.require(format_name)
    return submissions.find_submissions(Path(path), file_format, name, wanted)


def _limits(seconds: float, gib: float | None) -> Limits:
    from benchmark_adapters.execution.sandbox import Limits

    if not 0 < seconds <= MAX_SECONDS:
        allowed = f"expected more than 0 and at most {MAX_SECONDS:g}"
        raise UserError(f"--max-seconds {seconds:g}: {allowed}")
    if gib is not None and not 0 < gib < MAX_GIB:
        raise UserError(f"--max-memory {gib:g}: expected GiB, more than 0")
    return Limits(seconds, int(gib * 2**30) if gib is not None else None)
