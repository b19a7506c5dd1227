"""``ddbench score``: check existing distilled sets and train students on them."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console, track_files
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import UserError, one_line

if TYPE_CHECKING:
    from benchmark_adapters.plugins import Plugins
    from benchmark_adapters.runs.inbox import Submission

DAY = 86_400.0


@click.command("score")
@click.argument("path", metavar="PATH|RUN")
@options.FORMAT
@click.option(
    "--track",
    metavar="TRACK",
    help="Track to score on, or a file of your own, FILE.toml; required for files.  [default: that "
    "of RUN]",
)
@click.option(
    "--name",
    metavar="TEAM",
    help="Team that submitted PATH. Without it, each folder and zip archive in PATH is one team's "
    "submission.",
)
@click.option(
    "--dataset",
    metavar="DATASET",
    help=f"Use only this dataset of the track; or {options.DATASET_HELP}  [default: all]",
)
@options.PICTURE_SIZE
@options.TEST_SPLIT
@click.option(
    "--recipe", metavar="RECIPE", help="Recipe to train students with.  [default: the track's]"
)
@click.option(
    "--seed", type=int, help="First evaluation seed.  [default: that of RUN, or 0 for files]"
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
    help="Also run the official evaluate.py in this checkout of the ECCV 2024 challenge.",
)
@click.option("--native", "old_checkout", type=click.Path(path_type=Path), hidden=True)
@click.option(
    "--max-seconds",
    type=float,
    default=DAY,
    show_default=True,
    metavar="SECONDS",
    help="Time limit for scoring one set on one dataset.",
)
@click.option(
    "--max-memory",
    type=float,
    metavar="GIB",
    help="Memory limit of each process that reads or scores a set.  "
    "[default: three quarters of the machine's memory]",
)
@options.ISOLATE
@options.DATA
@options.RUNS
@options.RECORD_JSON
@console.loudness
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
    dataset: str | None,
    image_size: int | None,
    test_split: str | None,
    **request: Any,
) -> None:
    """Score distilled sets from files, or score a run again.

    PATH is a file, a folder or a zip archive, or a folder with one of these per team. RUN is a
    folder or the beginning of a run ID; its saved images are scored again, for example with other
    --students or another --recipe. Each set is checked before students are trained on it, and each
    score is saved as a new run.

    Exit codes: 0 if all sets were scored, 1 if not (the records say why), 2 for wrong usage.
    """
    from benchmark_adapters.execution.sandbox import Limits
    from benchmark_adapters.runs import inbox, submissions
    from benchmark_adapters.runs.request import Request
    from leaderboard.records import store

    request["dataset"] = inbox.dataset_text(dataset, image_size, test_split)
    plugins, limits = output.installed_plugins(), Limits.of(max_seconds, max_memory)
    sets = _submissions(path, format_name, name, image_size, plugins, request)
    are_all = name is not None or not inbox.has_unusable_teams(Path(path))
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
    output.conclude(context, records, request["runs"], as_json, track, are_all)


def _submissions(
    path: str,
    format_name: str | None,
    name: str | None,
    image_size: int | None,
    plugins: Plugins,
    request: dict[str, Any],
) -> list[Submission]:
    """Return the sets to score."""
    from benchmark_adapters.runs import inbox

    if format_name is None and not inbox.are_files(Path(path)):
        return [inbox.of_named_run(path, [request["runs"]], name, image_size, request["dataset"])]
    if request["track"] is None:
        raise UserError("name the track to score the files on with --track")
    track = track_files.find(plugins, request["track"])
    names = [request["dataset"]] if request["dataset"] else track.datasets
    wanted = [track_files.find_dataset(plugins, track, name) for name in names]
    for dataset in wanted:
        inbox.require_size(image_size, dataset)
    file_format = plugins.formats.require(format_name) if format_name else None
    found = inbox.find_submissions(Path(path), file_format, name, wanted, plugins.formats)
    if name is None:
        for line in inbox.passed_over(Path(path)):
            click.echo(f"warning: {one_line(line)}", err=True)
    return [replace(submission, resizes=image_size is not None) for submission in found]
