"""``ddbench score``: check existing distilled sets and train students on them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console, reporting, track_files
from benchmark_adapters.cli import options, output
from benchmark_adapters.cli import workers as shared
from benchmark_adapters.types import UserError, one_line
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.plugins import Plugins
    from benchmark_adapters.runs.inbox import Submission
    from benchmark_adapters.runs.request import Request
    from leaderboard.records.record import Record

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
@click.option(
    "--engine",
    type=shared.ENGINES,
    help="Score files in small tasks, as `ddbench sweep` does; what was scored before is left out.",
)
@shared.options
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
    engine: str | None,
    workers: int | None,
    address: str | None,
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
    at = _Engine(engine, workers, address)
    if at.name or at.workers or at.address or named.threads:
        if checkout or old_checkout or sets[0].record:
            raise UserError("--engine is for files, and without --official: leave it out")
        records, missing = at.score(sets, replace(named, seed=seed or 0), plugins)
        output.conclude(context, records, named.runs, as_json, track, are_all and not missing)
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


@dataclass(frozen=True)
class _Engine:
    """Where files are scored in small tasks."""

    name: str | None
    workers: int | None
    address: str | None

    def score(
        self, sets: Sequence[Submission], named: Request, plugins: Plugins
    ) -> tuple[list[Record], int]:
        """Score sets for each of their datasets; return the records, and how many are missing.

        Sets that were scored before with the same images, rules and seeds have their old record.
        """
        from benchmark_adapters.runs.request import plan_scoring
        from benchmark_adapters.sweeps import expected
        from benchmark_adapters.sweeps.finished import Finished
        from benchmark_adapters.sweeps.jobs import Job
        from benchmark_adapters.sweeps.tasks import Item

        name = self.name or "local"
        shared.check(name, self.workers, self.address)
        if named.threads is None:
            named = replace(named, threads=shared.threads(name, self.workers))
        stored = Finished(record for _, record in output.all_entries([named.runs]))
        jobs = []
        for plan in plan_scoring(named, plugins):
            seconds = expected.of_set(plan)
            for one in sets:
                scored = stored.sets(plan, one.name)
                item = Item(plan.request, str(Path.cwd()), one, frozenset(scored))
                title = f"{plan.track.name} / {plan.dataset.name} / {one.name}"
                jobs.append(Job(title, item, plan, seconds, scored=scored))
        shared.carry_out(jobs, named.runs, name, self.workers, self.address)
        if before := sum(job.record in job.scored.values() for job in jobs if job.record):
            what = f"{before} {plural(before, 'set')} {plural(before, 'was', 'were')} scored before"
            reporting.say(f"{what} with the same images, rules and seeds: not scored again")
        records = [job.record for job in jobs if job.record]
        return records, len(jobs) - len(records)


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
