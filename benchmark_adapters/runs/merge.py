"""Shards of a set, made by runs with ``--shard I/N``, joined to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark_adapters.execution.supervisor import Outcome
from benchmark_adapters.plugins import Host
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs.request import Plan, Request, plan
from benchmark_adapters.types import UserError
from leaderboard.records import store
from leaderboard.records.record import Record

SAME = (
    "track",
    "dataset",
    "method",
    "options",
    "seed",
    "ipc_asked",
    "model",
    "model_sha256",
    "recipe_sha256",
)  # in all shards
ALIKE = ("decoder", "dtype", "size")  # so must the facts of those that made any images
Shards = Mapping[int, tuple[Path, Record]]  # folder and record by number


def merge(folders: Sequence[Path], host: Host, request: Request) -> Path:
    """Joins the shards in ``folders`` to a new run and scores it; returns its folder. Of ``request`` count repeats, students, device, data and runs.

    Shards that are missing or lost leave a smaller set.

    Raises:
        UserError: the folders are no shards of one set, or as `harness.run`.
    """
    shards, count = _read(folders)
    first = next(iter(shards.values()))[1]
    (todo,) = plan(
        replace(
            request,
            method=first.method,
            track=first.track,
            dataset=first.dataset,
            ipc=first.ipc_asked or "max",
            seed=first.seed,
            time_limit=first.seconds.limit,
            options=first.explicit_options,
        ),
        host,
    )
    if todo.recipe.sha256 != first.recipe_sha256:
        raise UserError(f"the shards were made for another version of recipe {first.recipe}")
    todo = replace(todo, joined=count)
    return harness.complete(todo, lambda folder: _joined(shards, count, todo, folder))


def _read(folders: Sequence[Path]) -> tuple[Shards, int]:
    """The shards, and how many there are of the set."""
    found: dict[int, tuple[Path, Record]] = {}
    count = 0
    for folder in folders:
        try:
            record = store.read(folder)
        except ValueError as error:
            raise UserError(str(error)) from None
        if not record.shard:
            raise UserError(f"{folder} is no shard; shards are made by `ddbench run --shard I/N`")
        number, of = map(int, record.shard.split("/"))
        if number in found:
            raise UserError(f"{folder} and {found[number][0]} are both shard {record.shard}")
        if found:
            other = next(iter(found.values()))[1]
            differing = [name for name in SAME if getattr(record, name) != getattr(other, name)]
            differing += [
                name
                for name in ALIKE
                if record.ipc
                and other.ipc
                and record.metadata.get(name) != other.metadata.get(name)
            ]
            differing += ["number of shards"] * (of != count) + ["time limit"] * (
                record.seconds.limit != other.seconds.limit
            )
            if differing:
                raise UserError(
                    f"{folder} is no shard of the same set as {next(iter(found.values()))[0]}: {', '.join(differing)} differ"
                )
        found[number], count = (folder, record), of
    return found, count


def _joined(shards: Shards, count: int, todo: Plan, folder: Path) -> Outcome:
    """What the shards' processes had done, as if they had been processes of one run."""
    records = [record for _, record in shards.values()]
    first = records[0]
    lost = [
        f"shard {number}/{count}: {_loss(shards, number)}"
        for number in range(count)
        if _loss(shards, number)
    ]
    images = [
        shards[number][0] / "images.safetensors" if number in shards else None
        for number in range(count)
    ]
    load, generate = (
        max(getattr(record.seconds, key) or 0.0 for record in records)
        for key in ("load", "generate")
    )
    late = any(record.status == "timeout" for record in records)
    (folder / "log.txt").write_text(
        "".join(
            f"shard {number} is run {record.run_id}\n"
            for number, (_, record) in sorted(shards.items())
        ),
        encoding="utf-8",
    )
    return Outcome(
        end="error" if lost and todo.ipc is not None else "limit" if late else "done",
        message="; ".join(lost) or "a shard reached the limit",
        parts=[[path] if path and path.is_file() else [] for path in images],
        sampled=sum(record.sampled for record in records),
        load=load,
        last=load + generate,
        facts=harness.facts_of(first) | {"shards": [_origin(record) for record in records]},
        used_real_data=any(record.uses_real_data for record in records),
        lost=lost,
    )


def _loss(shards: Shards, number: int) -> str:
    """Why shard ``number`` has no or fewer images than it should; empty if it is whole."""
    if number not in shards:
        return "missing"
    record = shards[number][1]
    return "" if record.status in ("ok", "timeout") else record.message or record.status


def _origin(record: Record) -> dict[str, Any]:
    """Where a shard comes from; the record itself tells of the machine that joined them."""
    return {
        name: getattr(record, name)
        for name in ("run_id", "hardware", "versions", "commit", "dirty", "images_sha256")
    }
