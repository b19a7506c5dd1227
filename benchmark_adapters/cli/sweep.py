"""``ddbench sweep``: make all runs of a plan, on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console, reporting
from benchmark_adapters.cli import options, output, workers
from benchmark_adapters.types import UserError

if TYPE_CHECKING:
    from benchmark_adapters.runs.request import RunPlan
    from benchmark_adapters.sweeps.finished import Finished
    from benchmark_adapters.sweeps.jobs import Job
    from benchmark_adapters.sweeps.plan import Plan
    from leaderboard.records.record import Record


@click.command("sweep")
@click.argument(
    "file", metavar="[PLAN.toml]", required=False, type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--method",
    "methods",
    metavar="METHOD",
    multiple=True,
    help="Method to run, as in `ddbench run`; repeatable.",
)
@click.option(
    "--track", "tracks", metavar="TRACK", multiple=True, help="Track to run on; repeatable."
)
@click.option(
    "--ipc", metavar="N,...", help="Images per class, for example 1,10,50.  [default: the track's]"
)
@click.option(
    "--seed",
    metavar="N..M",
    help="Random seeds, for example 0..4, which is 0,1,2,3,4.  [default: 0]",
)
@options.REPEATS
@click.option(
    "--shards",
    type=int,
    metavar="N",
    help="Make each set in N parts, each on a machine of its own, and join them.  [default: 1]",
)
@click.option("--device", type=options.DEVICES, help="Device to run on.  [default: auto]")
@click.option(
    "--engine",
    type=workers.ENGINES,
    default="local",
    show_default=True,
    help="Where tasks run: in processes of this machine, or where Ray has room for them.",
)
@workers.options
@click.option("--dry-run", is_flag=True, help="Show the number of runs and their time, and exit.")
@options.DATA
@options.RUNS
@options.RECORD_JSON
@console.loudness
@console.DEBUG
@click.pass_context
def sweep_command(
    context: click.Context,
    /,
    file: Path | None,
    engine: str,
    address: str | None,
    threads: int | None,
    dry_run: bool,
    data: Path | None,
    runs: Path,
    as_json: bool,
    **named: Any,
) -> None:
    """Make all runs of a plan, then print the leaderboard.

    PLAN.toml names methods with their options, tracks, images per class and seeds; every
    combination is a run. Without it, name them with --method, --track, --ipc and --seed. Finished
    runs in the runs folder are not made again, so the same command goes on after an interruption.

    Exit codes: 0 if every run has status ok, 1 if not (the records say why), 2 for wrong usage.
    """
    from benchmark_adapters.runs.request import Request
    from benchmark_adapters.sweeps import plan as plans

    count = named.pop("workers")
    workers.check(engine, count, address)
    plan = _plan(file, **named)
    default = workers.threads(engine, count) if threads is None else threads
    shared = Request(data=data, runs=runs, threads=default)
    wanted = plans.runs(plans.requests(plan, shared), output.installed_plugins())
    finished, jobs = _jobs(wanted, runs)
    _announce(len(wanted), jobs)
    if dry_run:
        return
    workers.carry_out([job for _, job in jobs], runs, engine, count, address)
    made = {place: job.record for place, job in jobs if job.record}
    records = [record for _, record in sorted({**finished, **made}.items())]
    output.conclude(context, records, runs, as_json, are_all=len(records) == len(wanted))


def _plan(
    file: Path | None,
    methods: Sequence[str],
    tracks: Sequence[str],
    ipc: str | None,
    seed: str | None,
    repeats: int | None,
    shards: int | None,
    device: Any,
) -> Plan:
    """Return the plan in the file, or on the command line."""
    from benchmark_adapters.sweeps import plan as plans

    given = {"track": list(tracks), "ipc": ipc, "seed": seed, "repeats": repeats, "device": device}
    given["shards"] = shards
    given = {name: value for name, value in given.items() if value not in (None, [])}
    if file and (methods or given):
        name = "method" if methods else next(iter(given))
        raise UserError(f"--{name} can't be given with a plan: write it into {file}")
    if file:
        return plans.read(file)
    if not methods:
        raise UserError("name a plan, PLAN.toml, or at least one --method")
    return plans.Plan(method=[plans.MethodKeys(name) for name in methods], **given)


def _jobs(wanted: Sequence[RunPlan], runs: Path) -> tuple[dict[int, Record], list[tuple[int, Job]]]:
    """Return the finished runs by their place in the plan, and what is to be made."""
    from benchmark_adapters.sweeps import plan as plans
    from benchmark_adapters.sweeps.finished import Finished

    entries = output.all_entries([runs])
    folders = {record.run_id: folder.absolute() for folder, record in entries}
    stored = Finished(record for _, record in entries)
    finished, jobs = {}, []
    for number, plan in enumerate(wanted):
        if record := stored.run(plan):
            finished[number] = record
            continue
        job = _job(plan, stored)
        job.shards = [_shard(shard, stored, folders) for shard in plans.shards(plan)]
        jobs.append((number, job))
    return finished, jobs


def _shard(plan: RunPlan, stored: Finished, folders: Mapping[str, Path]) -> Job:
    """Return the run that makes a shard, which may be finished."""
    job = _job(plan, stored)
    job.record = stored.run(plan)
    job.place = folders[job.record.run_id] if job.record else Path()
    return job


def _job(plan: RunPlan, stored: Finished) -> Job:
    from benchmark_adapters.sweeps import expected
    from benchmark_adapters.sweeps.jobs import Job
    from benchmark_adapters.sweeps.tasks import Item

    item = Item(plan.scoring.request, str(Path.cwd()))
    return Job(_title(plan), item, plan, expected.of_run(plan, stored))


def _title(plan: RunPlan) -> str:
    """Return what tells a run of a sweep from the others."""
    sampling = plan.sampling
    ipc = "max" if sampling.ipc is None else sampling.ipc
    words = [sampling.method.name, *sampling.explicit_options]
    place = f"{sampling.track.name} / {sampling.dataset.name}"
    shard = f", shard {plan.scoring.request.shard}" if sampling.shard[1] > 1 else ""
    return f"{place} / {' '.join(words)}, IPC {ipc}, run seed {sampling.seed}{shard}"


def _announce(count: int, jobs: Sequence[tuple[int, Job]]) -> None:
    """Say how many runs there are, and how long they take."""
    from benchmark_adapters.sweeps import expected
    from leaderboard.text import duration, plural

    shards = [shard for _, job in jobs for shard in job.shards]
    left = [shard for shard in shards if not shard.record]
    of_shards = f", {len(left)} of {len(shards)} {plural(len(shards), 'shard')} to make"
    reporting.say(
        f"{count} {plural(count, 'run')}, {count - len(jobs)} of them finished, {len(jobs)} to make"
        + (of_shards if shards else "")
    )
    if jobs:
        every = [*left, *(job for _, job in jobs)]
        making, scoring = expected.total([job.expected for job in every])
        reporting.say(
            f"on one machine like this one: up to {duration(making)} to make the sets, "
            f"about {duration(scoring)} to score them"
        )
