"""What the harness and its child processes tell each other: jobs to them, events from them.

Each is one line of JSON, validated on arrival. ``type`` tells the events apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from benchmark_adapters.scoring.backend_names import Backend, BackendName
from leaderboard.records.record import Finding

# Bytes of one event; the confusion matrix of a dataset with 1,000 classes takes 7 MB.
MAX_EVENT = 64 * 2**20


class MethodJob(msgspec.Struct, frozen=True):
    """One process's part of a distilled set.

    Attributes:
        batches: folder for the files of its batches.
        deadline: on the clock of ``time.monotonic``.
        part, parts: which part of the set it makes, from 0, and of how many.
    """

    method: str
    track: str
    dataset: str
    seed: int
    device: str
    ipc: int | None
    options: dict[str, Any]
    data: str | None
    bundled: bool
    real_data: bool
    part: int = 0
    parts: int = 1
    batches: str = ""
    limit: float = 0.0
    deadline: float = 0.0


class DecodeJob(msgspec.Struct, frozen=True):
    """Decode a file or folder of ``format`` into a native set in the folder ``output``."""

    path: str
    format: str
    dataset: str
    output: str


class ScoreJob(msgspec.Struct, frozen=True):
    """Check the native set in the folder ``images``, then train students on it.

    Attributes:
        data: folder of the real datasets; ``bundled``: take the bundled images instead.
        cache: folder that keeps the results of finished seeds.
        is_untrusted: an error that a check finds ends the job before any training.
        probes_order: ask a classifier of real images for the order of the classes.
    """

    images: str
    dataset: str
    data: str | None
    bundled: bool
    recipe: str
    students: list[str]
    seeds: list[int]
    device: str
    backend: Backend
    cache: str | None
    is_untrusted: bool
    probes_order: bool


class Report(msgspec.Struct, frozen=True):
    """What a method tells of its work by ``task.ready`` and ``task.report``.

    The named values have places of their own in the record; ``metadata`` holds all others.
    """

    device: str | None = None
    gpu: str | None = None
    gpus: int | None = None
    model: str | None = None
    model_sha256: str | None = None
    model_trained_on: str | None = None
    model_licence: str | None = None
    batch: int | None = None
    threads: int | None = None
    prompts_encoded: int | None = None
    prompts_seconds: float | None = None
    metadata: dict[str, Any] = {}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Report:
        """Sort the arguments of a ``task.ready(...)`` call.

        Raises:
            TypeError: a named value has another type than it should, or a value is none of JSON.
            ValueError: a number is NaN or infinite.
        """
        json.dumps(dict(values), allow_nan=False)
        named = {name: value for name, value in values.items() if name in _NAMED}
        others = {name: value for name, value in values.items() if name not in _NAMED}
        for name, value in named.items():
            try:
                msgspec.convert({name: value}, cls)
            except msgspec.ValidationError as error:
                raise TypeError(f"task.ready({name}={value!r}): {error}") from None
        return msgspec.convert({**named, "metadata": others}, cls)

    def merged(self, later: Report) -> Report:
        """Return this report with what a ``later`` one adds or changes."""
        changes = {name: getattr(later, name) for name in _NAMED}
        known = {name: value for name, value in changes.items() if value is not None}
        return msgspec.structs.replace(self, **known, metadata={**self.metadata, **later.metadata})


_NAMED = frozenset(field.name for field in msgspec.structs.fields(Report)) - {"metadata"}


class Event(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of all events."""


class Ready(Event, frozen=True, tag="ready"):
    """The method's model is loaded."""

    report: Report


class Reported(Event, frozen=True, tag="reported"):
    """The method told more of its work."""

    report: Report


class RealDataUsed(Event, frozen=True, tag="real-data"):
    """The method asked for real training images."""


class BatchWritten(Event, frozen=True, tag="batch"):
    """A batch of ``images``, ``generated`` of them freshly sampled, is on disk; ``ipc`` so far."""

    file: str
    images: int
    generated: int
    ipc: int


class BrokeContract(Event, frozen=True, tag="invalid"):
    """The method yielded something else than images and labels of its dataset."""

    text: str


class Failed(Event, frozen=True, tag="failed"):
    """The work failed.

    ``cause`` is ``user`` for what the user can mend, ``memory``, or ``exception`` for others.
    """

    cause: Literal["user", "memory", "exception"]
    text: str


class Ended(Event, frozen=True, tag="end"):
    """The process has nothing more to tell."""


class ScoringStarted(Event, frozen=True, tag="scoring"):
    """Students are trained on ``device`` with so many CPU ``threads``."""

    device: str
    threads: int


class Checked(Event, frozen=True, tag="checked"):
    """The checks of a set are done."""

    findings: list[Finding]
    images: int
    ipc: int
    pixels: str


class SeedScored(Event, frozen=True, tag="seed"):
    """A student was trained and tested with one seed (`scoring.seed_cache.SeedResult`)."""

    student: str
    accuracy: float
    confusion: list[list[int]]
    seconds: float
    backend: BackendName
    fallback: str | None
    cache_key: str


MethodEvent = Ready | Reported | RealDataUsed | BatchWritten | BrokeContract | Failed | Ended
SandboxEvent = ScoringStarted | Checked | SeedScored | Failed | Ended
