"""Run a method in child processes and kill them when the time limit expires."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from benchmark_adapters import reporting
from benchmark_adapters.execution import channel
from benchmark_adapters.execution.channel import Child, UnknownEvent
from benchmark_adapters.execution.log import Log
from benchmark_adapters.execution.messages import (
    BatchWritten,
    BrokeContract,
    Ended,
    Failed,
    MethodEvent,
    MethodJob,
    PhaseProgressed,
    Ready,
    RealDataUsed,
    Report,
    Reported,
)
from benchmark_adapters.execution.process_tree import ProcessTree, new_tree, signals_blocked
from benchmark_adapters.types import UserError, one_line

WORKER = "benchmark_adapters.execution.worker"

End = Literal["done", "limit", "invalid", "error"]
_DECODER = msgspec.json.Decoder(MethodEvent)


@dataclass(frozen=True)
class Batch:
    """A batch on disk: seconds since the start of the run, and number of sampled images."""

    seconds: float
    sampled: int


@dataclass
class Outcome:
    """The result of running a method: its batches and how it ended.

    Attributes:
        end: ``done``; ``limit``: the time limit expired; ``invalid``: the method broke its
            contract; ``error``: it failed; None: it is still running.
        message: the reason, unless ``end`` is ``done``.
        interrupted: the user interrupted the run.
        is_refusal: whether the method ended with an error that the user can fix.
        files: for each process, the batch files that were complete in time, in order.
        batches: the batches of a single process, in order.
        sampled: number of freshly sampled images.
        images: number of all images.
        ipc: images per class.
        load: seconds until the method was ready.
        last: seconds until its last batch.
        used: seconds until the time limit ended it; None: it ended by itself.
        failed_processes: one line for each process that failed while others continued.
    """

    end: End | None = None
    message: str = ""
    interrupted: bool = False
    is_refusal: bool = False
    files: list[list[Path]] = field(default_factory=lambda: [[]])
    batches: list[Batch] = field(default_factory=list)
    sampled: int = 0
    images: int = 0
    ipc: int = 0
    load: float | None = None
    last: float | None = None
    used: float | None = None
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
    """Raised to stop sampling once enough images exist."""


@dataclass(frozen=True)
class ProcessJob:
    """A job, and the environment variables of its process."""

    job: MethodJob
    environment: Mapping[str, str] = field(default_factory=dict)


def supervise(
    jobs: Sequence[ProcessJob],
    limit: float,
    folder: Path,
    on_batch: Callable[[Outcome], None] = lambda outcome: None,
    on_phase: Callable[[PhaseProgressed], None] = lambda event: None,
) -> Outcome:
    """Run each of ``jobs`` in its own process for at most ``limit`` seconds, start-up included.

    No process of the method is left when this returns or raises. On Linux, every new descendant of
    this process counts as one of the method's.

    Args:
        jobs: at least one job.
        limit: time limit in seconds.
        folder: receives the batch files in ``batches`` and the method's output in ``log.txt``.
        on_batch: called with a process's outcome after each of its batches; may raise
            `StopSampling` to end the run.
        on_phase: called when a method reports its progress.

    Returns:
        The combined outcome of all processes.

    Raises:
        UserError: a process can't be started.
    """
    # The path is absolute because a method may change its working directory.
    run = _Run(folder.absolute(), limit, on_batch, on_phase)
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
    """The processes of one run, and the results received from them."""

    def __init__(
        self,
        folder: Path,
        limit: float,
        on_batch: Callable[[Outcome], None],
        on_phase: Callable[[PhaseProgressed], None],
    ) -> None:
        self.folder, self.limit = folder, limit
        self.on_batch, self.on_phase = on_batch, on_phase
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
        channel.listen(self.workers, self.deadline, self.hear, self.hear_output)

    def hear_output(self, data: bytes) -> None:
        """Keep what a method printed, and show it to a user who follows it."""
        self.log.write(data)
        if reporting.follows():
            sys.stderr.write(data.decode(errors="replace"))
            sys.stderr.flush()

    def hear(self, worker: Child, data: bytes) -> None:
        assert isinstance(worker, Worker)
        try:
            for line in worker.lines(data):
                # A batch counts only if its event arrives in time.
                if time.monotonic() > self.deadline:
                    return
                self.take(worker, _DECODER.decode(line))
        except (UnknownEvent, msgspec.DecodeError):
            worker.outcome.end = "invalid"
            worker.outcome.message = "the method wrote to the pipe reserved for the harness"
            worker.is_done = True

    def take(self, worker: Worker, event: MethodEvent) -> None:
        """Apply one event to the worker's outcome."""
        record_event(worker.outcome, event, time.monotonic() - self.started, self.batches)
        worker.is_done = isinstance(event, Ended)
        if isinstance(event, BatchWritten) and not self.interrupted:
            self.on_batch(worker.outcome)
        if isinstance(event, PhaseProgressed):
            self.on_phase(event)

    def stop(self) -> None:
        """Kill all processes, then read their output and, after an interruption, their events."""
        self.tree.kill()
        for worker in self.workers:
            if self.interrupted:
                for data in channel.unread(worker.events):
                    self.hear(worker, data)
            assert worker.process.stdout
            for data in channel.unread(worker.process.stdout.fileno()):
                self.hear_output(data)
            worker.close()
        # A full disk must not cost the images.
        with contextlib.suppress(OSError):
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
            f"could not start the method's process ({error.strerror}); "
            "try fewer processes with --processes"
        ) from None
    return Worker(child.process, child.events)


def record_event(outcome: Outcome, event: MethodEvent, elapsed: float, batches: Path) -> None:
    """Apply an event, received ``elapsed`` seconds after the start, to ``outcome``."""
    match event:
        case Ready(report):
            outcome.load = elapsed
            outcome.report = outcome.report.merged(report)
        case Reported(report):
            outcome.report = outcome.report.merged(report)
        case RealDataUsed():
            outcome.used_real_data = True
        case BatchWritten(file, images, generated, ipc, replaces):
            if replaces:
                _discard(outcome)
            outcome.files[0].append(batches / Path(file).name)
            outcome.batches.append(Batch(elapsed, generated))
            outcome.sampled += generated
            outcome.images += images
            outcome.ipc, outcome.last = ipc, elapsed
        case BrokeContract(text):
            outcome.end, outcome.message = "invalid", one_line(text) or "no reason given"
        case Failed(cause, text):
            outcome.is_refusal = cause == "user"
            outcome.end, outcome.message = "error", one_line(text) or "no reason given"
        case Ended():
            outcome.end = outcome.end or "done"


def _discard(outcome: Outcome) -> None:
    """Delete the batches that a complete set supersedes."""
    for file in outcome.files[0]:
        file.unlink(missing_ok=True)
    outcome.files[0].clear()
    outcome.sampled = outcome.images = 0


def _conclude(worker: Worker, limit: float) -> None:
    """Set how the worker's process ended, if no event did so."""
    outcome, code = worker.outcome, worker.process.returncode
    if outcome.end:
        return
    if not worker.is_done:
        outcome.end, outcome.message = "limit", f"the time limit of {limit:g} s was reached"
        outcome.used = limit
        return
    outcome.end = "error"
    if code < 0:
        outcome.message = f"the method's process was killed by {signal.Signals(-code).name}"
    else:
        outcome.message = f"the method's process exited with code {code}"


def joined(outcomes: Sequence[Outcome], fills_time: bool) -> Outcome:
    """Combine the outcomes of all processes.

    If the run ``fills_time`` with as many images as possible, failed processes don't fail the run
    as long as another one succeeded and none broke the contract. They are then listed in
    ``failed_processes``.
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
        used=worst.used,
        report=_joined_report(sound or outcomes),
        used_real_data=any(outcome.used_real_data for outcome in outcomes),
        failed_processes=failures if survived else [],
    )


def _severity(outcome: Outcome) -> int:
    return ("done", "limit", "error", "invalid").index(outcome.end or "error")


def _joined_report(outcomes: Sequence[Outcome]) -> Report:
    """Return the first report that is not empty, with the number of GPUs in all reports."""
    reports = [outcome.report for outcome in outcomes if outcome.report != Report()]
    gpus = sum(report.gpus or 0 for report in reports)
    first = reports[0] if reports else Report()
    return msgspec.structs.replace(first, gpus=gpus) if gpus else first
