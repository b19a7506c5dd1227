"""Join the shards of a set, made by runs with ``--shard I/N``, to one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs import pipeline
from benchmark_adapters.runs.read import read_record
from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.runs.sources.shards import ShardsSource
from benchmark_adapters.types import UserError
from leaderboard.records.record import Record

# Fields that are equal in all shards of a set.
EQUAL_FIELDS = (
    "track",
    "dataset",
    "method",
    "options",
    "seed",
    "ipc_asked",
    "model",
    "model_sha256",
    "recipe_sha256",
)
# What methods report of decisions of their own, which must be equal in shards with images.
EQUAL_METADATA = ("decoder", "dtype", "size")


def merge(folders: Sequence[Path], plugins: Plugins, request: Request) -> Path:
    """Join the shards in ``folders`` to a new run and score it; return its folder.

    Of ``request`` repeats, students, device, backend, data and runs count. Shards that are missing
    or lost leave a smaller set.

    Raises:
        UserError: the folders are no shards of one set, or as `pipeline.complete`.
    """
    shards = _read(folders)
    count = max(int((record.shard or "0/1").split("/")[1]) for _, record in shards.values())
    first = next(iter(shards.values()))[1]
    made = replace(
        request,
        method=first.method,
        track=first.track,
        dataset=first.dataset,
        ipc=first.ipc_asked or "max",
        seed=first.seed,
        time_limit=first.seconds.limit,
        options=first.explicit_options,
    )
    (plan,) = plan_runs(made, plugins)
    if plan.scoring.recipe.sha256 != first.recipe_sha256:
        raise UserError(f"the shards were made for another version of recipe {first.recipe}")
    return pipeline.complete(plan.scoring, ShardsSource(plan.sampling, shards, count))


def _read(folders: Sequence[Path]) -> dict[int, tuple[Path, Record]]:
    """Return folder and record of each shard by number."""
    shards: dict[int, tuple[Path, Record]] = {}
    for folder in folders:
        record = read_record(folder)
        if not record.shard:
            raise UserError(f"{folder} is no shard; shards are made by `ddbench run --shard I/N`")
        number = int(record.shard.split("/")[0])
        if number in shards:
            raise UserError(f"{folder} and {shards[number][0]} are both shard {record.shard}")
        if shards:
            other_folder, other = next(iter(shards.values()))
            if differing := _differing(record, other):
                raise UserError(
                    f"{folder} is no shard of the same set as {other_folder}: "
                    f"{', '.join(differing)} differ"
                )
        shards[number] = folder, record
    return shards


def _differing(record: Record, other: Record) -> list[str]:
    """Return the names of what should be equal in two shards of a set and is not."""
    names = [name for name in EQUAL_FIELDS if getattr(record, name) != getattr(other, name)]
    if record.ipc and other.ipc:
        names += [
            name for name in EQUAL_METADATA if record.metadata.get(name) != other.metadata.get(name)
        ]
    counts = [(one.shard or "").partition("/")[2] for one in (record, other)]
    if counts[0] != counts[1]:
        names.append("number of shards")
    if record.seconds.limit != other.seconds.limit:
        names.append("time limit")
    return names
