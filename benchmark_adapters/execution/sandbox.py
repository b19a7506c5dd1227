"""Process distilled sets in child processes with memory and time limits.

Untrusted files are decoded in a process that does nothing else. Students are trained in another
process. A set that exhausts memory or time therefore stops neither this process nor the sets that
follow.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from benchmark_adapters import own_data
from benchmark_adapters.execution import channel, decode_limits, devices, isolation
from benchmark_adapters.execution.channel import Child, UnknownEvent
from benchmark_adapters.execution.child import DEBUG_ENV, MEMORY_ENV
from benchmark_adapters.execution.isolation import Mode
from benchmark_adapters.execution.messages import (
    Checked,
    DecodeJob,
    Ended,
    Failed,
    FormatFound,
    SandboxEvent,
    ScoreJob,
    StudentTimed,
    TrialJob,
    fatal,
)
from benchmark_adapters.execution.process_tree import process_tree, signal_name
from benchmark_adapters.execution.watch import used_memory
from benchmark_adapters.types import UserError, one_line
from leaderboard.records.record import Finding

MAX_SECONDS = 30 * 86_400.0
MAX_GIB = 2**20
MAX_FORMAT_NAME = 100
DECODER = "benchmark_adapters.execution.decoder"
SCORER = "benchmark_adapters.execution.scorer"
TRIAL = "benchmark_adapters.execution.student_trial"
# Linux enforces RLIMIT_DATA; elsewhere the parent polls resident memory.
HAS_MEMORY_LIMIT = sys.platform == "linux"
_EVENTS = msgspec.json.Decoder(SandboxEvent)


@dataclass(frozen=True)
class Limits:
    """Limits of a child process.

    Attributes:
        seconds: time limit; None: no limit.
        memory: memory limit in bytes; None: three quarters of the machine's memory.
        isolate: whether the reading of untrusted files is isolated.
    """

    seconds: float | None = None
    memory: int | None = None
    isolate: Mode = "auto"

    @classmethod
    def of(cls, seconds: float, gib: float | None) -> Limits:
        """Return the limits for ``--max-seconds`` and ``--max-memory``.

        Raises:
            UserError: a value is not allowed.
        """
        if not 0 < seconds <= MAX_SECONDS:
            allowed = f"expected more than 0 and at most {MAX_SECONDS:g}"
            raise UserError(f"--max-seconds {seconds:g}: {allowed}")
        return cls(seconds, memory_bytes("--max-memory", gib))

    @property
    def memory_bytes(self) -> int:
        import psutil

        return self.memory or psutil.virtual_memory().total * 3 // 4


def memory_bytes(option: str, gib: float | None) -> int | None:
    """Return the value of an option in bytes; None: it wasn't given.

    Raises:
        UserError: the value is not allowed.
    """
    if gib is None:
        return None
    if not 0 < gib < MAX_GIB:
        raise UserError(f"{option} {gib:g}: expected GiB, more than 0")
    return int(gib * 2**30)


class SandboxFailed(Exception):
    """Raised if a child process did not finish its work; the message explains why."""

    def __init__(self, cause: Literal["time", "memory", "exception"], text: str) -> None:
        super().__init__(text)
        self.cause = cause


def decode(
    path: Path,
    format_name: str | None,
    dataset: str,
    output: Path,
    limits: Limits,
    resizes: bool = False,
) -> FormatFound:
    """Decode an untrusted file, folder or zip archive into a native set.

    Args:
        path: the file, folder or archive.
        format_name: name of its format; None: that which the names of its files tell.
        dataset: name of its dataset.
        output: folder for the native set.
        limits: limits of the child process, which are narrowed to those of `decode_limits`.
        resizes: resize pictures to the size of the dataset.

    Returns:
        The format, and whether the set has pictures that were resized.

    Raises:
        UserError: ``path`` is not a set of ``dataset`` in that format.
        SandboxFailed: decoding exceeded its limits, or the reader crashed.
    """
    job = DecodeJob(str(path.absolute()), format_name, dataset, str(output.absolute()), resizes)
    found = FormatFound(format_name or "")
    seconds = decode_limits.seconds(path)
    if limits.seconds is None or limits.seconds > seconds:
        limits = replace(limits, seconds=seconds)

    def hear(event: SandboxEvent) -> None:
        nonlocal found
        if isinstance(event, FormatFound):
            found = FormatFound(one_line(event.name, MAX_FORMAT_NAME), event.resizes)

    # A reader may look for the partner of a file.
    read = path.absolute() if path.is_dir() else path.absolute().parent
    prefix = isolation.prefix(limits.isolate, output, [read, own_data.folder_of(dataset)])
    run(DECODER, [job], limits, hear, prefix=prefix)
    return found


def score(job: ScoreJob, limits: Limits, on_event: Callable[[SandboxEvent], None]) -> None:
    """Check a native set and train students on it; ``on_event`` receives each result.

    If there are several GPUs, each trains its share of the students and seeds, after one process
    has checked the set. Their results come in any order.

    Raises:
        UserError: the scoring process reported an error that the user can fix.
        SandboxFailed: scoring exceeded its limits, or crashed.
    """
    gpus = devices.scoring_environments(job.device, len(job.students) * len(job.seeds))
    if job.threads is not None:
        gpus = [{**gpu, "OMP_NUM_THREADS": str(job.threads)} for gpu in gpus]
    if len(gpus) == 1:
        run(SCORER, [job], limits, on_event, gpus)
        return
    findings: list[Finding] = []

    def hear(event: SandboxEvent) -> None:
        if isinstance(event, Checked):
            findings.extend(event.findings)
        on_event(event)

    change, began = msgspec.structs.replace, time.monotonic()
    run(SCORER, [change(job, seeds=[])], limits, hear, gpus[:1])
    if fatal(findings, job.is_untrusted):
        return
    if limits.seconds is not None:
        limits = replace(limits, seconds=limits.seconds - (time.monotonic() - began))
    jobs = [change(job, is_checked=True, part=part, parts=len(gpus)) for part in range(len(gpus))]
    run(SCORER, jobs, limits, on_event, gpus)


def time_students(job: TrialJob) -> dict[str, float]:
    """Return the seconds that each student trains on an image that it is shown.

    Raises:
        UserError: the process reported an error that the user can fix.
        SandboxFailed: the process exceeded its limits, or crashed.
    """
    seconds: dict[str, float] = {}

    def hear(event: SandboxEvent) -> None:
        if isinstance(event, StudentTimed):
            seconds[event.student] = event.seconds

    run(TRIAL, [job], Limits(), hear)
    return seconds


def run(
    module: str,
    jobs: Sequence[msgspec.Struct],
    limits: Limits,
    on_event: Callable[[SandboxEvent], None],
    environments: Sequence[Mapping[str, str]] = ({},),
    prefix: Sequence[str] = (),
) -> None:
    """Run ``python -m module`` with each job, all at the same time.

    Args:
        module: name of the module to run.
        jobs: a job for each process.
        limits: the limits of each process.
        on_event: receives the events of all processes.
        environments: environment variables to add for each process.
        prefix: the beginning of the command lines, which isolates the processes.

    Raises:
        UserError: a process reported an error that the user can fix.
        SandboxFailed: a process exceeded its limits, or crashed.
    """
    memory = limits.memory_bytes
    with process_tree() as tree, contextlib.ExitStack() as pipes:
        listeners: dict[int, _Listener] = {}
        children: list[Child] = []
        for job, environment in zip(jobs, environments, strict=True):
            settings = {**_environment(memory), **environment}
            child = channel.start(tree, module, job, settings, prefix=prefix)
            pipes.callback(child.close)
            children.append(child)
            listeners[child.events] = _Listener(on_event)

        def hear(child: Child, data: bytes) -> None:
            listeners[child.events].hear(child, data)

        deadline = None if limits.seconds is None else time.monotonic() + limits.seconds
        try:
            watch = _memory_watch(children, memory)
            channel.listen(children, deadline, hear, on_poll=watch)
        except KeyboardInterrupt:
            for child in children:
                for data in channel.unread(child.events):
                    hear(child, data)
            raise
        except (UnknownEvent, msgspec.DecodeError):
            raise SandboxFailed("exception", "its process sent an invalid event") from None
        for child in children:
            listeners[child.events].check(child, limits, memory)


def _environment(memory: int) -> dict[str, str]:
    environment = {DEBUG_ENV: "1"} if "--debug" in sys.argv else {}
    # What they start imports nothing from the current folder either.
    environment["PYTHONSAFEPATH"] = "1"
    return environment | ({MEMORY_ENV: str(memory)} if HAS_MEMORY_LIMIT else {})


class _Listener:
    """A receiver of events that passes results on and remembers how the process ended."""

    def __init__(self, on_event: Callable[[SandboxEvent], None]) -> None:
        self.on_event = on_event
        self.failure: Failed | None = None
        self.has_ended = False

    def hear(self, child: Child, data: bytes) -> None:
        for line in child.lines(data):
            event = _EVENTS.decode(line)
            if isinstance(event, Failed):
                self.failure = event
            elif isinstance(event, Ended):
                child.is_done = self.has_ended = True
            else:
                self.on_event(event)

    def check(self, child: Child, limits: Limits, memory: int) -> None:
        """Raise an error unless the process finished its work."""
        if self.failure:
            if self.failure.cause == "user":
                raise UserError(self.failure.text)
            raise _crashed(self.failure.cause, self.failure.text, self.failure.limit or memory)
        if not child.is_done:
            raise SandboxFailed("time", f"it took longer than {limits.seconds:g} s")
        if not self.has_ended:
            code = child.process.wait()
            reason = f"signal {signal_name(-code)}" if code < 0 else f"exit code {code}"
            raise _crashed("exception", reason, memory)


def _crashed(cause: Literal["memory", "exception"], reason: str, memory: int) -> SandboxFailed:
    allowed = f"its memory limit is {memory / 2**30:.1f} GiB"
    return SandboxFailed(cause, f"its process failed with {reason}; {allowed}")


def _memory_watch(children: Sequence[Child], memory: int) -> Callable[[], None] | None:
    """Return a function that raises if a child uses too much memory.

    Return None if the system itself enforces the limit.
    """
    if HAS_MEMORY_LIMIT:
        return None

    def watch() -> None:
        for child in children:
            if used_memory([child.process.pid]) > memory:
                raise _crashed("memory", "MemoryError", memory)

    return watch
