"""Run a method in child processes and kill them when the time limit expires."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmark_adapters import reporting
from benchmark_adapters.execution import channel, facts
from benchmark_adapters.execution.channel import Child, UnknownEvent
from benchmark_adapters.execution.journal import Journal
from benchmark_adapters.execution.log import Log
from benchmark_adapters.execution.messages import (
    MAX_METHOD_EVENT,
    BatchWritten,
    Ended,
    MethodEvent,
    MethodJob,
    PhaseProgressed,
    Ready,
    Reported,
)
from benchmark_adapters.execution.outcome import Outcome, joined, record_event
from benchmark_adapters.execution.process_tree import (
    ProcessTree,
    new_tree,
    signal_name,
    signals_blocked,
)
from benchmark_adapters.execution.watch import BoundExceeded, Bounds, Watch
from benchmark_adapters.types import UserError

WORKER = "benchmark_adapters.execution.worker"
# Folder of the batch files in the folder of a run.
BATCHES = "batches"

_DECODER = msgspec.json.Decoder(MethodEvent)


@dataclass
class Worker(Child):
    """One process of a method.

    Attributes:
        part: number of the part that it makes.
        reported: names of the batch files that it has reported.
    """

    outcome: Outcome = field(default_factory=Outcome)
    part: int = 0
    reported: set[str] = field(default_factory=set)


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
    bounds: Bounds | None = None,
    prefix: Sequence[str] = (),
) -> Outcome:
    """Run each of ``jobs`` in its own process for at most ``limit`` seconds, start-up included.

    No process of the method is left when this returns or raises. On Linux, every new descendant of
    this process counts as one of the method's.

    Args:
        jobs: at least one job.
        limit: time limit in seconds.
        folder: receives the batch files in ``batches``, the journal of events, and the method's
            output in ``log.txt``.
        on_batch: called with a process's outcome after each of its batches; may raise
            `StopSampling` to end the run.
        on_phase: called when a method reports its progress.
        bounds: what all processes may use together.
        prefix: the beginning of the command lines, which isolates the processes.

    Returns:
        The combined outcome of all processes.

    Raises:
        UserError: a process can't be started.
    """
    # The path is absolute because a method may change its working directory.
    run = _Run(folder.absolute(), limit, on_batch, on_phase)
    try:
        watch = Watch(run.tree, run.batches, bounds or Bounds())
        run.start(jobs, prefix)
        run.listen(watch)
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
        self.batches = folder / BATCHES
        self.batches.mkdir()
        self.log, self.tree = Log(), new_tree()
        self.started = time.monotonic()
        self.journal = Journal(folder, lambda: time.monotonic() - self.started)
        self.own = {path: _identity(path) for path in (folder, *folder.iterdir())}
        self.deadline = self.started + limit
        self.workers: list[Worker] = []
        self.interrupted = False

    def start(self, jobs: Sequence[ProcessJob], prefix: Sequence[str]) -> None:
        for one in jobs:
            job = msgspec.structs.replace(
                one.job, batches=str(self.batches), limit=self.limit, deadline=self.deadline
            )
            self.workers.append(_start(self.tree, job, one.environment, prefix))

    def listen(self, watch: Watch) -> None:
        def look() -> None:
            self.journal.beat()
            watch.look()

        try:
            channel.listen(self.workers, self.deadline, self.hear, self.hear_output, look)
            # Processes that the kernel ended may be gone before the next look.
            watch.look_at_group()
        except BoundExceeded as error:
            for worker in self.workers:
                worker.outcome.end = "error"
                worker.outcome.message = f"the method was stopped: {error}"

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
                self.take(worker, _checked(_DECODER.decode(line), worker))
        # Deeply nested JSON exceeds the decoder's recursion limit.
        except (UnknownEvent, msgspec.DecodeError, RecursionError):
            worker.outcome.end = "invalid"
            worker.outcome.message = "the method wrote to the pipe reserved for the harness"
            worker.is_done = True

    def take(self, worker: Worker, event: MethodEvent) -> None:
        """Apply one event to the worker's outcome."""
        record_event(worker.outcome, event, self.journal.elapsed(), self.batches)
        self.journal.note(self.workers.index(worker), event)
        worker.is_done = isinstance(event, Ended)
        if isinstance(event, BatchWritten) and not self.interrupted:
            self.on_batch(worker.outcome)
        if isinstance(event, PhaseProgressed):
            self.on_phase(event)

    def stop(self) -> None:
        """Kill all processes, then read their output and, after an interruption, their events."""
        self.tree.kill()
        _reclaim(self.folder, self.own)
        for worker in self.workers:
            if self.interrupted:
                for data in channel.unread(worker.events):
                    self.hear(worker, data)
            assert worker.process.stdout
            for data in channel.unread(worker.process.stdout.fileno()):
                self.hear_output(data)
            worker.close()
        self.journal.close()
        # A full disk must not cost the images.
        with contextlib.suppress(OSError):
            (self.folder / "log.txt").write_text(self.log.text(), encoding="utf-8")

    def outcome(self, fills_time: bool) -> Outcome:
        for worker in self.workers:
            _conclude(worker, self.limit)
        outcome = joined([worker.outcome for worker in self.workers], fills_time)
        if self.interrupted:
            outcome.end, outcome.message, outcome.interrupted = "error", "interrupted", True
            outcome.used = min(self.journal.noted, self.limit)
        return outcome


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _reclaim(folder: Path, own: Mapping[Path, tuple[int, int]]) -> None:
    """Delete all that a method has put into the folder of the run, besides batch files.

    It could be links, through which the harness would write elsewhere.

    Args:
        folder: the folder.
        own: the identities of the folder and of what the harness had put into it.

    Raises:
        UserError: the folder is no longer the same.
    """
    if _identity(folder) != own[folder]:
        raise UserError(f"{folder} was replaced while the method ran; nothing in it is used")
    for entry in folder.iterdir():
        if own.get(entry) == _identity(entry):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()


def _start(
    tree: ProcessTree, job: MethodJob, environment: Mapping[str, str], prefix: Sequence[str]
) -> Worker:
    try:
        child = channel.start(tree, WORKER, job, environment, subprocess.PIPE, prefix)
    except OSError as error:
        raise UserError(
            f"could not start the method's process ({error.strerror}); "
            "try fewer processes with --processes"
        ) from None
    return Worker(child.process, child.events, max_event=MAX_METHOD_EVENT, part=job.part)


def _checked(event: MethodEvent, worker: Worker) -> MethodEvent:
    """Return an event that a method's process may send.

    The process runs the method's code, which may write events of its own.

    Raises:
        UnknownEvent: the event reports something that a record can't hold, a batch of another
            process, or one that was reported before.
    """
    if isinstance(event, Ready | Reported):
        try:
            facts.plain(event.report.metadata)
        except facts.NotPlain:
            raise UnknownEvent from None
    if isinstance(event, BatchWritten):
        is_own = event.file.startswith(f"{worker.part}-")
        if not is_own or event.file in worker.reported or event.generated > event.images:
            raise UnknownEvent
        worker.reported.add(event.file)
    return event


def _conclude(worker: Worker, limit: float) -> None:
    """Set how the worker's process ended, if no event did so."""
    outcome = worker.outcome
    # A process that something holds although it was killed has no exit code yet.
    code = worker.process.returncode or 0
    if outcome.end:
        return
    if not worker.is_done:
        outcome.end, outcome.message = "limit", f"the time limit of {limit:g} s was reached"
        outcome.used = limit
        return
    how = f"was killed by signal {signal_name(-code)}" if code < 0 else f"exited with code {code}"
    outcome.end, outcome.message = "error", f"the method's process {how}"
