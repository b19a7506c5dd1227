"""What ranks need of a run: little enough that 100,000 runs fit into memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from leaderboard.records.parts import TrackRules
from leaderboard.records.record import Record

# Fields in which many runs are equal.
SHARED = (
    "track",
    "dataset",
    "method",
    "explicit_options",
    "status",
    "category",
    "seeds",
    "student",
    "recipe_sha256",
    "data_sha256",
    "model",
    "demands_sha256",
)
_VALUES: dict[Any, Any] = {}


class Standing(msgspec.Struct, eq=False, gc=False, array_like=True):
    """The fields of a judged record that decide on its rank. Compares by identity.

    It is part of no cycle, so ``gc=False`` spares the search for cycles.

    Attributes:
        demands_sha256: hash of the demands that the run was judged by; empty: there are none.
        shards: IDs of the runs that it was merged from.
        folder: the folder of the run; empty: it is in memory alone.
    """

    run_id: str
    status: str
    track: str
    dataset: str
    method: str
    explicit_options: tuple[str, ...]
    model: str | None
    seed: int
    created: str
    category: str
    ipc: int
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    accuracy_mean: float | None
    student: str
    recipe_sha256: str
    data_sha256: str | None
    images_sha256: str | None
    rules: TrackRules | None
    limit_enforced: bool
    comparable: bool
    shard: str | None
    shards: tuple[str, ...] = ()
    demands_sha256: str = ""
    folder: str = ""

    def __post_init__(self) -> None:
        """Keep each value of the shared fields only once in memory."""
        for name in SHARED:
            value = getattr(self, name)
            setattr(self, name, _VALUES.setdefault(value, value))
        if self.rules:
            self.rules = _VALUES.setdefault(msgspec.json.encode(self.rules), self.rules)

    @property
    def is_comparable(self) -> bool:
        """Return whether the run succeeded and followed all rules of its track."""
        return self.comparable and self.status == "ok"


DERIVED = ("shards", "demands_sha256", "folder")
NAMES = [name for name in Standing.__struct_fields__ if name not in DERIVED]


def of(record: Record, demands_sha256: str = "", folder: str = "") -> Standing:
    """Return the standing of a judged record."""
    values = {name: getattr(record, name) for name in NAMES}
    for name in ("explicit_options", "seeds", "accuracies"):
        values[name] = tuple(values[name])
    shards = tuple(one.run_id for one in record.origin.shards)
    return Standing(**values, shards=shards, demands_sha256=demands_sha256, folder=folder)


def held(records: Iterable[Record]) -> dict[Standing, Record]:
    """Return judged records by their standings."""
    return {of(record): record for record in records}


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Standing).decode
