"""Messages between the harness and its child processes: jobs to them, events from them.

Each message is one line of JSON, validated on arrival. ``type`` distinguishes the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from benchmark_adapters.execution.report import Count
from benchmark_adapters.execution.report import Report as Report
from benchmark_adapters.plugins import PartDescription
from benchmark_adapters.scoring.backend_names import Backend, BackendName
from leaderboard.records.record import TEST_COPIES, Copies, Finding

# Length of the name of a phase in characters.
MAX_PHASE = 60
# Largest size of an event in bytes. The confusion matrix of 1,000 classes takes 7 MB.
MAX_EVENT = 64 * 2**20
# The same for the process of a method.
MAX_METHOD_EVENT = 4 * 2**20
Name = Annotated[str, msgspec.Meta(max_length=MAX_PHASE)]
BatchFile = Annotated[str, msgspec.Meta(pattern=r"^\d{1,9}-\d{7,12}\.safetensors$")]


class MethodJob(msgspec.Struct, frozen=True):
    """A job to generate one process's part of a distilled set.

    Attributes:
        method, dataset: a name, or the text that names a file or folder.
        recipe: the recipe that students will be trained with.
        part, parts: index of the part, from 0, and the number of parts.
        memory: bytes of memory that the processes may use together; None: the option is not given.
        batches: folder for the batch files.
        limit: time limit in seconds.
        deadline: end of the time limit, on the clock of ``time.monotonic``.
    """

    method: str
    track: str
    dataset: str
    recipe: str
    seed: int
    device: str
    ipc: int | None
    options: dict[str, Any]
    data: str | None
    bundled: bool
    real_data: bool
    part: int = 0
    parts: int = 1
    memory: int | None = None
    batches: str = ""
    limit: float = 0.0
    deadline: float = 0.0


class DecodeJob(msgspec.Struct, frozen=True):
    """A job to decode a set into a native set in the folder ``output``.

    Attributes:
        path: a file, a folder, or a zip archive of one.
        format: its format; None: that which the names of its files tell.
        resizes: resize pictures to the size of the dataset.
    """

    path: str
    format: str | None
    dataset: str
    output: str
    resizes: bool = False


class ScoreJob(msgspec.Struct, frozen=True):
    """A job to check the native set in the folder ``images``, then train students on it.

    Attributes:
        data: folder of the real datasets.
        bundled: use the bundled real images instead.
        cache: folder for the results of finished seeds.
        is_untrusted: skip the training if a check finds any error.
        probes_order: check the order of the classes with a classifier of real images.
        is_checked: the set was checked before.
        is_quiet: show no progress.
        part, parts: index of this process's share of the pairs of a student and a seed, from 0, and
            the number of processes that share them.
        threads: CPU threads of the process; None: all cores.
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
    is_checked: bool = False
    is_quiet: bool = False
    part: int = 0
    parts: int = 1
    threads: int | None = None


def fatal(findings: Sequence[Finding], is_untrusted: bool) -> list[Finding]:
    """Return the errors for which no students are trained on a set.

    The harness balanced a method's set itself. What it looks like is up to the method, unless it is
    made of test images.
    """
    return [
        finding
        for finding in findings
        if finding.level == "error" and (is_untrusted or finding.code == TEST_COPIES)
    ]


class TrialJob(msgspec.Struct, frozen=True):
    """A job to measure how long students train, on as many random ``images`` as a set has."""

    dataset: str
    recipe: str
    students: list[str]
    device: str
    backend: Backend
    images: int


class PluginJob(msgspec.Struct, frozen=True):
    """A job to import the third-party plugin ``name``, or a command, and to say what it offers."""

    name: str
    module: str
    is_command: bool = False


class Event(msgspec.Struct, frozen=True, tag_field="type"):
    """Base class of all events."""


class Ready(Event, frozen=True, tag="ready"):
    """The method's model is loaded."""

    report: Report


class Reported(Event, frozen=True, tag="reported"):
    """The method reported further values."""

    report: Report


class RealDataUsed(Event, frozen=True, tag="real-data"):
    """The method requested real training images."""


class PhaseProgressed(Event, frozen=True, tag="phase"):
    """The method reported its progress: ``done`` of ``total`` steps of the phase ``name``."""

    name: Name
    done: Count
    total: Count | None


class BatchWritten(Event, frozen=True, tag="batch"):
    """A batch is on disk.

    Attributes:
        file: name of the batch file.
        images: number of images.
        generated: number of freshly sampled images among them.
        ipc: images per class so far.
        replaces: whether the batch is a complete set that supersedes all earlier batches.
    """

    file: BatchFile
    images: Count
    generated: Count
    ipc: Count
    replaces: bool = False


class BrokeContract(Event, frozen=True, tag="invalid"):
    """The method yielded something other than images and labels of its dataset."""

    text: str


class Failed(Event, frozen=True, tag="failed"):
    """The work failed.

    ``cause`` is ``user`` for an error that the user can fix, ``memory``, or ``exception`` for any
    other error. ``limit`` is the process's limit of private memory in bytes.
    """

    cause: Literal["user", "memory", "exception"]
    text: str
    limit: int | None = None


class Ended(Event, frozen=True, tag="end"):
    """The process has sent its last event."""


class ScoringStarted(Event, frozen=True, tag="scoring"):
    """Training of the students has started on ``device``, with ``threads`` CPU threads."""

    device: str
    threads: int


class FormatFound(Event, frozen=True, tag="format"):
    """The set that is being decoded is in the format ``name``; its pictures may be resized."""

    name: str
    resizes: bool = False


class Checked(Event, frozen=True, tag="checked"):
    """The checks of a set are finished."""

    findings: list[Finding]
    copies: Copies | None
    images: int
    ipc: int
    pixels: str


class SeedScored(Event, frozen=True, tag="seed"):
    """A student was trained and tested with one seed.

    The other fields are those of `benchmark_adapters.scoring.seed_cache.SeedResult`.
    """

    student: str
    seed: int
    accuracy: float
    confusion: list[list[int]]
    seconds: float
    backend: BackendName
    fallback: str | None
    cache_key: str


class StudentTimed(Event, frozen=True, tag="timed"):
    """A student trained for ``seconds`` on each image that it was shown."""

    student: str
    seconds: float


class PluginRead(Event, frozen=True, tag="plugin"):
    """What a plugin offers, and one message for each thing that is wrong with it."""

    parts: list[PartDescription]
    problems: list[str]


MethodEvent = (
    Ready
    | Reported
    | RealDataUsed
    | PhaseProgressed
    | BatchWritten
    | BrokeContract
    | Failed
    | Ended
)
SandboxEvent = FormatFound | ScoringStarted | Checked | SeedScored | StudentTimed | Failed | Ended
