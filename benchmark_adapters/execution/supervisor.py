"""Run a method in processes of its own under the parent's clock, and kill them at the limit."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from benchmark_adapters.execution import channel
from benchmark_adapters.execution.channel import Child, UnknownEvent
from benchmark_adapters.execution.messages import (
    BatchWritten,
    BrokeContract,
    Ended,
    Failed,
    MethodEvent,
    MethodJob,
    Ready,
    RealDataUsed,
    Report,
    Reported,
)
from benchmark_adapters.execution.process_tree import ProcessTree, new_tree, signals_blocked
from benchmark_adapters.types import UserError, one_line
from leaderboard.text import plural

WORKER = "benchmark_adapters.execution.worker"
# Bytes of a method's output that are kept.
MAX_LOG = 128 * 1024

End = Literal["done", "limit", "invalid", "error"]
_DECODER = msgspec.json.Decoder(MethodEvent)


@dataclass(frozen=True)
class Batch:
    """A batch on disk: seconds since the start of the run, and how many images were sampled."""

    seconds: float
    sampled: int


@dataclass
class Outcome:
    """What a method's processes had done by the limit.

    Attributes:
        end: ``done``; ``limit``: it ran into the limit; ``invalid``: it broke the contract;
            ``error``: it failed; None: still running.
        message: why, unless it is done.
        interrupted: the user ended the run.
        files: for each process the batches that were complete in time, in order.
        batches: of a single process, when each batch came.
        sampled: freshly sampled images in the batches; ``images`` counts all of them.
        ipc: images per class.
        load: seconds until the method was ready; ``last``: until its last batch.
        failed_processes: a line for each process that failed while others went on.
    """

    end: End | None = None
    message: str = ""
    interrupted: bool = False
    files: list[list[Path]] = field(default_factory=lambda: [[]])
    batches: list[Batch] = field(default_factory=list)
    sampled: int = 0
    images: int = 0
    ipc: int = 0
    load: float | None = None
    last: float | None = None
    report: Report = field(default_factory=Report)
    used_real_data: bool = False
    failed_processes: list[str] = field(default_factory=list)

    @property
    def generate(self) -> float:
        """Seconds between the method being ready and its last batch."""
        return max(0.0, self.last - (self.load or 0.0)) if self.last else 0.0

    @property
    def is_failed(self) -> bool:
        return self.end in ("invalid", "error")


@dataclass
class Worker(Child):
    """One process of a method."""

    outcome: Outcome = field(default_factory=Outcome)


class StopSampling(Exception):
    """No more batches are wanted."""


class Log:
    """The first and the last half of `MAX_LOG` bytes of a method's output."""

    def __init__(self) -> None:
        self.head, self.tail, self.left_out = b"", b"", 0

    def write(self, data: bytes) -> None:
        half = MAX_LOG // 2
        space = max(half - len(self.head), 0)
        self.head += data[:space]
        self.tail += data[space:]
        self.left_out += max(len(self.tail) - half, 0)
        self.tail = self.tail[-half:]

    def text(self) -> str:
        cut = f"\n[... {self.left_out} {plural(self.left_out, 'byte')} left out ...]\n"
        gap = cut.encode() if self.left_out else b""
        return (self.head + gap + self.tail).decode(errors="replace")


@dataclass(frozen=True)
class ProcessJob:
    """A job with the environment variables of the process that does it."""

    job: MethodJob
    environment: Mapping[str, str] = field(default_factory=dict)


def supervise(
    jobs: Sequence[ProcessJob],
    limit: float,
    folder: Path,
    on_batch: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Do each of ``jobs`` in a process for at most ``limit`` seconds, their start included.

    When this returns or raises, no process that the method started is left; on Linux every new
    descendant of this process counts as one.

    Args:
        jobs: at least one.
        limit: in seconds.
        folder: gets the batches in ``batches`` and the method's output in ``log.txt``.
        on_batch: hears of a process's outcome after each of its batches; it may end the run by
            raising `StopSampling`.

    Raises:
        UserError: a process can't be started.
    """
    run = _Run(folder.absolute(), limit, on_batch)  # a method may change its working directory
    try:
        run.start(jobs)
        run.listen()
    except KeyboardInterrupt:
        run.interrupted = True
    except StopSampling:
        run.workers[0].outcome.end = "done"
    finally:
        with signals_blocked():
            run.stop()
    return run.outcome(fills_time=jobs[0].job.ipc is None)


class _Run:
    """The processes of one run, and what was heard of them."""

    def __init__(self, folder: Path, limit: float, on_batch: Callable[[Outcome], None]) -> None:
        self.folder, self.limit, self.on_batch = folder, limit, on_batch
        self.batches = folder / "batches"
        self.batches.mkdir()
        self.log, self.tree = Log(), new_tree()
        self.started = time.monotonic()
        self.deadline = self.started + limit
        self.workers: list[Worker] = []
        self.interrupted = False

    def start(self, jobs: Sequence[ProcessJob]) -> None:
        for one in jobs:
            job = msgspec.structs.replace(
                one.job, batches=str(self.batches), limit=self.limit, deadline=self.deadline
            )
            self.workers.append(_start(self.tree, job, one.environment))

    def listen(self) -> None:
        channel.listen(self.workers, self.deadline, self.hear, self.log.write)

    def hear(self, worker: Child, data: bytes) -> None:
        assert isinstance(worker, Worker)
        try:
            for line in worker.lines(data):
                # A batch counts when the parent hears of it in time.
                if time.monotonic() > self.deadline:
                    return
                self.take(worker, _DECODER.decode(line))
        except (UnknownEvent, msgspec.DecodeError):
            worker.outcome.end = "invalid"
            worker.outcome.message = "the method wrote into the harness's own channel"
            worker.is_done = True

    def take(self, worker: Worker, event: MethodEvent) -> None:
        """Take one event into the worker's outcome."""
        record_event(worker.outcome, event, time.monotonic() - self.started, self.batches)
        worker.is_done = isinstance(event, Ended)
        if isinstance(event, BatchWritten) and not self.interrupted:
            self.on_batch(worker.outcome)

    def stop(self) -> None:
        """Kill all processes; take what they had told before an interruption."""
        self.tree.kill()
        for worker in self.workers:
            if self.interrupted:
                for data in channel.unread(worker.events):
                    self.hear(worker, data)
            assert worker.process.stdout
            for data in channel.unread(worker.process.stdout.fileno()):
                self.log.write(data)
            worker.close()
        (self.folder / "log.txt").write_text(self.log.text(), encoding="utf-8")

    def outcome(self, fills_time: bool) -> Outcome:
        for worker in self.workers:
            _conclude(worker, self.limit)
        outcome = joined([worker.outcome for worker in self.workers], fills_time)
        if self.interrupted:
            outcome.end, outcome.message, outcome.interrupted = "error", "interrupted", True
        return outcome


def _start(tree: ProcessTree, job: MethodJob, environment: Mapping[str, str]) -> Worker:
    try:
        child = channel.start(tree, WORKER, job, environment, subprocess.PIPE)
    except OSError as error:
        raise UserError(
            f"the method's process can't be started ({error.strerror}); "
            "with --processes ask for fewer"
        ) from None
    return Worker(child.process, child.events)


def record_event(outcome: Outcome, event: MethodEvent, elapsed: float, batches: Path) -> None:
    """Take an event, heard ``elapsed`` seconds after the start, into ``outcome``."""
    match event:
        case Ready(report):
            outcome.load = elapsed
            outcome.report = outcome.report.merged(report)
        case Reported(report):
            outcome.report = outcome.report.merged(report)
        case RealDataUsed():
            outcome.used_real_data = True
        case BatchWritten(file, images, generated, ipc):
            outcome.files[0].append(batches / file)
            outcome.batches.append(Batch(elapsed, generated))
            outcome.sampled += generated
            outcome.images += images
            outcome.ipc, outcome.last = ipc, elapsed
        case BrokeContract(text):
            outcome.end, outcome.message = "invalid", one_line(text) or "no reason given"
        case Failed(_, text):
            outcome.end, outcome.message = "error", one_line(text) or "no reason given"
        case Ended():
            outcome.end = outcome.end or "done"


def _conclude(worker: Worker, limit: float) -> None:
    """Say how it ended if no event said so."""
    outcome, code = worker.outcome, worker.process.returncode
    if outcome.end:
        return
    if not worker.is_done:
        outcome.end, outcome.message = "limit", f"the limit of {limit:g} s was reached"
        return
    outcome.end = "error"
    if code < 0:
        outcome.message = f"the method's process was ended by {signal.Signals(-code).name}"
    else:
        outcome.message = f"the method's process ended itself with exit code {code}"


def joined(outcomes: Sequence[Outcome], fills_time: bool) -> Outcome:
    """Return the outcome of all processes together.

    A process that failed is only noted in ``failed_processes`` if the run ``fills_time`` with as
    many images as fit, and others made some.
    """
    if not outcomes:
        return Outcome()
    if len(outcomes) == 1:
        return outcomes[0]
    failures = [
        f"process {number} of {len(outcomes)}: {outcome.message}"
        for number, outcome in enumerate(outcomes, 1)
        if outcome.is_failed
    ]
    sound = [outcome for outcome in outcomes if not outcome.is_failed]
    is_invalid = any(outcome.end == "invalid" for outcome in outcomes)
    survived = fills_time and bool(sound) and not is_invalid
    worst = max(sound if survived else outcomes, key=_severity)
    loads = [outcome.load for outcome in outcomes if outcome.load is not None]
    lasts = [outcome.last for outcome in outcomes if outcome.last is not None]
    return Outcome(
        end=worst.end,
        message="; ".join(failures) if failures and not survived else worst.message,
        files=[files for outcome in outcomes for files in outcome.files],
        sampled=sum(outcome.sampled for outcome in outcomes),
        images=sum(outcome.images for outcome in outcomes),
        ipc=sum(outcome.ipc for outcome in outcomes),
        load=min(loads, default=None),
        last=max(lasts, default=None),
        report=_joined_report(sound or outcomes),
        used_real_data=any(outcome.used_real_data for outcome in outcomes),
        failed_processes=failures if survived else [],
    )


def _severity(outcome: Outcome) -> int:
    return ("done", "limit", "error", "invalid").index(outcome.end or "error")


def _joined_report(outcomes: Sequence[Outcome]) -> Report:
    """Return the first report with anything in it, with the GPUs of all."""
    reports = [outcome.report for outcome in outcomes if outcome.report != Report()]
    gpus = sum(report.gpus or 0 for report in reports)
    first = reports[0] if reports else Report()
    return msgspec.structs.replace(first, gpus=gpus) if gpus else first
