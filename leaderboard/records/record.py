"""The record of one run: what was asked, what came out, with what it can be repeated and checked."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import json
import re
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin, get_type_hints

from leaderboard.analysis import stats

SCHEMA = 2
LARGEST = 2**63  # no whole number of a record is that large
MOST_DEPTH, MOST_REPORTED = 20, 1e300  # nesting and size of what a method reports
NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
STATUSES = ("ok", "timeout", "invalid", "error")


@dataclass(frozen=True)
class Record:
    """One finished, failed or late run.

    Attributes:
        status: ``ok``; ``timeout``: fewer images than asked for by the limit; ``invalid``: the method broke the
            contract; ``error``: it failed. ``message`` says why.
        options: the method's, with the defaults filled in; ``given``: those that the user gave, as KEY=VALUE.
        seed: of the sampling and the first of the evaluation seeds ``seeds``.
        ipc: images per class of the distilled set; ``ipc_asked`` None: as many as fit.
        repeats: evaluation seeds that were asked for; ``accuracies`` has fewer where scoring ended early.
        processes: how many made the set together.
        shard: ``I/N``, which part of a set this is; `ddbench merge` joins them.
        sampled: images that were freshly sampled by the limit, trimmed ones counted.
        division: what runs of a track must share to be ranked together, for example ``IPC 10``.
        generated_per_class: how many of ``ipc`` are no augmented copies.
        accuracies: fractions, one for each seed; empty when nothing was scored. ``cross`` holds those of further students.
        accuracy_ci95: 95 % t interval of the mean over the seeds.
        seconds: ``load`` until the method was ready, ``generate`` until its last round, ``evaluate``, ``limit``.
        images_per_second: sampled images over ``generate``.
        comparable: the run kept to every rule of its track.
        limit_enforced: the time was measured and limited here, not declared.
        confusion: [true class][predicted class], counts over all seeds.
        facts: what else the method reported.
    """

    run_id: str
    status: str
    message: str
    track: str
    dataset: str
    method: str
    options: dict[str, Any]
    seed: int
    recipe: str
    recipe_sha256: str
    student: str
    created: str
    given: list[str] = field(default_factory=list)
    ipc: int = 0
    ipc_asked: int | None = None
    repeats: int = 0
    processes: int = 1
    shard: str | None = None
    sampled: int = 0
    division: str = ""
    generated_per_class: float = 0
    seeds: list[int] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    accuracy_mean: float | None = None
    accuracy_std: float | None = None
    accuracy_ci95: list[float] | None = None
    cross: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, float | None] = field(default_factory=dict)
    images_per_second: float | None = None
    model: str | None = None
    model_sha256: str | None = None
    model_trained_on: str | None = None
    images_sha256: str | None = None
    data_sha256: str | None = None
    uses_real_data: bool = False
    comparable: bool = False
    not_comparable_because: list[str] = field(default_factory=list)
    limit_enforced: bool = True
    batch: int | None = None
    threads: int | None = None
    device: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    confusion: list[list[int]] | None = None
    hardware: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    schema: int = SCHEMA

    @property
    def n(self) -> int:
        return len(self.accuracies)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The record in ``text``, also of an older schema; fields that this version doesn't know are left out.

        Raises:
            ValueError: no JSON object, a newer schema, a missing field or one of the wrong type.
        """
        values = json.loads(text, parse_constant=_refuse)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            values = json.loads(
                json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")
            )  # halves of characters could be written nowhere
        if (
            not isinstance(values, dict)
            or not _fits(values.get("schema"), int)
            or values["schema"] < 1
        ):
            raise ValueError(
                "no record: an object with a field schema, a number from 1, is expected"
            )
        if values["schema"] > SCHEMA:
            raise ValueError(
                f"schema {values['schema']} is newer than {SCHEMA}, which this version reads; upgrade ddbench"
            )
        for older in range(values["schema"], SCHEMA):
            values = _UPGRADES[older](values)
        known = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}
        required = [
            f.name
            for f in dataclasses.fields(cls)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        missing = [name for name in required if name not in known]
        if missing:
            raise ValueError(f"fields are missing: {', '.join(missing)}")
        for name, hint in _hints().items():
            if name in known and not _fits(known[name], hint):
                raise ValueError(
                    f"field {name} is {json.dumps(known[name])[:60]}, expected {hint if get_args(hint) else hint.__name__}"
                )
        record = cls(**known)
        record._check()
        return record

    def _check_numbers(self) -> None:
        if not all(
            0 <= accuracy <= 1
            for values in (self.accuracies, *self.cross.values())
            for accuracy in values
        ):
            raise ValueError("accuracies are not fractions")
        if self.confusion and any(len(row) != len(self.confusion) for row in self.confusion):
            raise ValueError("confusion is not square")
        counts = {
            name: getattr(self, name) or 0
            for name in (
                "ipc",
                "sampled",
                "generated_per_class",
                "images_per_second",
                "processes",
                "repeats",
                "batch",
            )
        }
        counts |= {f"seconds.{name}": value or 0 for name, value in self.seconds.items()}
        counts["confusion"] = min((min(row) for row in self.confusion or [] if row), default=0)
        for name, value in counts.items():
            if value < 0:
                raise ValueError(f"{name} is less than 0")

    def _check(self) -> None:
        """What the tables rely on beyond types."""
        if not NAME.fullmatch(self.run_id):
            raise ValueError(f"run_id {self.run_id[:60]!r} is no name of a folder")
        for name in (
            "images_sha256",
            "recipe_sha256",
            "data_sha256",
        ):  # the model's is what the method says
            if not NAME.fullmatch(getattr(self, name) or "none"):
                raise ValueError(f"{name} is no hash")
        if not all(name.strip() for name in (self.track, self.dataset, self.method)):
            raise ValueError("track, dataset or method has no name")
        if self.shard is not None and not re.fullmatch(r"\d{1,6}/\d{1,6}", self.shard):
            raise ValueError(f"shard {self.shard[:60]!r} is not I/N")
        self._check_numbers()
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is none of {', '.join(STATUSES)}")
        if len(self.seeds) != len(self.accuracies):
            raise ValueError(f"{len(self.seeds)} seeds for {len(self.accuracies)} accuracies")
        mean, _, interval = stats.summary(self.accuracies)
        for name, said, computed in (
            ("mean", [self.accuracy_mean], [mean]),
            ("ci95", self.accuracy_ci95, interval),
        ):
            if [None if x is None else round(x, 6) for x in said or []] != [
                None if x is None else round(x, 6) for x in computed or []
            ]:
                raise ValueError(f"accuracy_{name} is not that of the accuracies")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


@functools.cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Record)


def _from_1(values: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 did not say how many repeats were asked for, and processes among the facts."""
    accuracies, facts = values.get("accuracies"), values.get("facts")
    processes = facts.get("processes", 1) if isinstance(facts, dict) else 1
    facts = (
        {name: fact for name, fact in facts.items() if name != "processes"}
        if isinstance(facts, dict)
        else facts
    )
    return {
        **values,
        "facts": facts,
        "schema": 2,
        "repeats": len(accuracies) if isinstance(accuracies, list) else 0,
        "processes": processes,
    }


_UPGRADES = {1: _from_1}  # by the schema that they read; each gives the next


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value out of JSON is of the type that a field's annotation names."""
    return _test(hint)(value)


@functools.cache
def _test(hint: Any) -> Callable[[Any], bool]:
    """`_fits` for one annotation: a leaderboard asks it of thousands of records."""
    arguments = [_test(one) for one in get_args(hint)]
    match get_origin(hint) or hint:
        case types.UnionType:
            return lambda value: any(fits(value) for fits in arguments)
        case builtins.list if get_args(hint) == (int,):  # a confusion has thousands
            return lambda value: (
                isinstance(value, list)
                and set(map(type, value)) <= {int}
                and max(map(abs, value), default=0) < LARGEST
            )
        case builtins.list:
            return lambda value: isinstance(value, list) and all(map(arguments[0], value))
        case builtins.dict:
            return lambda value: isinstance(value, dict) and all(map(arguments[1], value.values()))
        case builtins.float:
            return lambda value: type(value) in (int, float) and abs(value) < LARGEST
        case builtins.int:
            return lambda value: type(value) is int and abs(value) < LARGEST
        case _:
            return is_plain if hint is Any else lambda value: isinstance(value, hint)


def is_plain(value: Any, depth: int = MOST_DEPTH) -> bool:
    """Whether what a method reported can be shown and written: no number without end, nothing nested deeply."""
    if isinstance(value, dict | list):
        return depth > 0 and all(
            is_plain(one, depth - 1)
            for one in (value.values() if isinstance(value, dict) else value)
        )
    return not isinstance(value, int | float) or abs(value) < MOST_REPORTED
