"""Runs a method in a process of its own under the parent's clock, and ends it at the limit."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmark_adapters.execution.process_tree import MARK, adopt_orphans, end, undisturbed
from benchmark_adapters.types import DistilledSet, UserError, one_line

INTERRUPTED = "interrupted"
LOG_BYTES = 128 * 1024


@dataclass(frozen=True)
class Job:
    """What one process does: ``facts`` for `benchmark_adapters.execution.worker`, as JSON, and its own environment variables."""

    facts: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a method's processes had done by the limit.

    Attributes:
        end: it was ``done``, ran into the ``limit``, broke the contract (``invalid``) or failed (``error``); None: no word of it yet.
        parts: for each process the files of the rounds that were complete in time, in order.
        rounds: of one process, for each round the seconds since the start, and the images sampled in it.
        sampled: freshly sampled images in them; ``images``: all; ``ipc``: images per class.
        load: seconds until the method was ready; ``last``: until its last round.
        facts: what it reported.
        lost: processes that failed while others went on, a line for each.
        distilled: the whole set, where it didn't come in rounds; its images lie in the run's folder.
    """

    end: Literal["done", "limit", "invalid", "error"] | None = None
    message: str = ""
    parts: list[list[Path]] = field(default_factory=list)
    rounds: list[tuple[float, int]] = field(default_factory=list)
    sampled: int = 0
    images: int = 0
    ipc: int = 0
    load: float | None = None
    last: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    used_real_data: bool = False
    lost: list[str] = field(default_factory=list)
    distilled: DistilledSet | None = None

    @property
    def generate(self) -> float:
        """Seconds from when it was ready to its last round."""
        return max(0.0, (self.last or 0) - (self.load or 0)) if self.last else 0.0


@dataclass
class Worker:
    """One process of a method.

    Attributes:
        events: the descriptor on which it tells what happened; ``unread``: the beginning of a line.
        over: nothing more will be heard of it.
    """

    process: subprocess.Popen[bytes]
    events: int
    outcome: Outcome
    unread: bytes = b""
    over: bool = False


class Enough(Exception):
    """No more rounds are wanted."""


class Log:
    """The first and the last half of `LOG_BYTES` of a method's output, however much it prints."""

    def __init__(self) -> None:
        self.head, self.tail, self.left_out = b"", b"", 0

    def write(self, data: bytes) -> None:
        half = LOG_BYTES // 2
        room = half - len(self.head)
        self.head += data[:room] if room > 0 else b""
        self.tail += data[max(room, 0) :]
        self.left_out += max(len(self.tail) - half, 0)
        self.tail = self.tail[-half:]

    def text(self) -> str:
        gap = f"\n[... {self.left_out} bytes left out ...]\n".encode() if self.left_out else b""
        return (self.head + gap + self.tail).decode(errors="replace")


def supervise(
    jobs: Sequence[Job], limit: float, folder: Path, on_round: Callable[[Outcome], None]
) -> Outcome:
    """Executes each of ``jobs`` in a process for at most ``limit`` seconds, start of the processes included.

    Writes the rounds to ``folder / "rounds"`` and the method's output to ``folder / "log.txt"``; ``on_round`` hears of a
    process's outcome after each of its rounds, and ends the run by raising `Enough`. When this returns or raises, no process
    that the method started is left: on Linux every new descendant of this process counts as one.
    """
    folder = folder.absolute()  # a method may change its working directory
    rounds = folder / "rounds"
    rounds.mkdir()
    log, mark, others = Log(), uuid.uuid4().hex, adopt_orphans()
    started = time.monotonic()
    deadline = started + limit
    workers: list[Worker] = []
    interrupted = False

    def note(worker: Worker, event: dict[str, Any]) -> bool:
        last = _note(event, worker.outcome, time.monotonic() - started, rounds)
        if event["kind"] == "round" and not interrupted:
            on_round(worker.outcome)
        return last

    try:
        for job in jobs:
            workers.append(
                _start(
                    {**job.facts, "rounds": str(rounds), "limit": limit, "deadline": deadline},
                    {**job.environment, MARK: mark},
                )
            )
        _listen(workers, deadline, log, note)
    except KeyboardInterrupt:
        interrupted = True
    except Enough:
        workers[0].outcome.end = "done"
    finally:
        with undisturbed():
            end([worker.process for worker in workers], mark, others)
            for worker in workers:
                if interrupted:  # rounds that were told of and not yet heard are worth keeping
                    for data in _unread(worker.events):
                        _hear(worker, data, deadline, note)
                _close(worker, log)
            (folder / "log.txt").write_text(log.text(), encoding="utf-8")
    for worker in workers:
        _conclude(worker, limit)
    outcome = (
        _together([worker.outcome for worker in workers], jobs[0].facts["ipc"] is None)
        if workers
        else Outcome(parts=[[]])
    )
    if interrupted:
        outcome.end, outcome.message = "error", INTERRUPTED
    return outcome


def _start(job: dict[str, Any], environment: Mapping[str, str]) -> Worker:
    try:
        events, events_end = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchmark_adapters.execution.worker", str(events_end)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[events_end],
            start_new_session=True,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        )
    except OSError as error:
        raise UserError(
            f"the method's process can't be started ({error.strerror}); with --processes ask for fewer"
        ) from None
    os.close(events_end)
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):  # a process that ended at once is reported below
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
    return Worker(process, events, Outcome(parts=[[]]))


def _close(worker: Worker, log: Log) -> None:
    assert worker.process.stdin
    assert worker.process.stdout
    for data in _unread(worker.process.stdout.fileno()):
        log.write(data)
    os.close(worker.events)
    with contextlib.suppress(BrokenPipeError):
        worker.process.stdin.close()
    worker.process.stdout.close()


def _listen(
    workers: Sequence[Worker],
    deadline: float,
    log: Log,
    note: Callable[[Worker, dict[str, Any]], bool],
) -> None:
    """Reads output and events until every worker's last event or death, or the deadline."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            assert worker.process.stdout
            selector.register(worker.events, selectors.EVENT_READ, worker)
            selector.register(worker.process.stdout, selectors.EVENT_READ)
        while (remaining := deadline - time.monotonic()) > 0 and (
            going := [worker for worker in workers if not worker.over]
        ):
            dead = [worker for worker in going if worker.process.poll() is not None]
            ready = [
                (key.fd, key.data) for key, _ in selector.select(0 if dead else min(remaining, 0.1))
            ]
            for descriptor, worker in ready:
                data = os.read(descriptor, 65536)
                if not data:
                    selector.unregister(descriptor)
                elif worker is None:
                    log.write(data)
                else:
                    _hear(worker, data, deadline, note)
            for worker in dead:
                worker.over |= worker.events not in [descriptor for descriptor, _ in ready]


def _hear(
    worker: Worker, data: bytes, deadline: float, note: Callable[[Worker, dict[str, Any]], bool]
) -> None:
    *lines, worker.unread = (worker.unread + data).split(b"\n")
    try:
        # A round counts when the parent hears of it in time.
        if time.monotonic() <= deadline and any(note(worker, json.loads(line)) for line in lines):
            worker.over = True
    except (ValueError, KeyError, TypeError):  # a line that our worker did not write
        worker.outcome.end, worker.outcome.message = (
            "invalid",
            "the method wrote into the harness's own channel",
        )
        worker.over = True


def _note(event: dict[str, Any], outcome: Outcome, elapsed: float, rounds: Path) -> bool:
    """Takes one event into ``outcome``; True when it is the last."""
    match event["kind"]:
        case "ready":
            outcome.load = elapsed
            outcome.facts.update(event["facts"])
        case "facts":
            outcome.facts.update(event["facts"])
        case "real_data":
            outcome.used_real_data = True
        case "round":
            outcome.parts[0].append(rounds / event["file"])
            outcome.rounds.append((elapsed, event["generated"]))
            outcome.sampled += event["generated"]
            outcome.images += event["images"]
            outcome.ipc = event["ipc"]
            outcome.last = elapsed
        case "end":
            outcome.end = outcome.end or "done"
            return True
        case "invalid" | "error":
            outcome.end, outcome.message = (
                event["kind"],
                one_line(event["message"]) or "no reason given",
            )
        case unknown:
            raise ValueError(unknown)
    return False


def _conclude(worker: Worker, limit: float) -> None:
    """Says how it ended where no event said so."""
    outcome, code = worker.outcome, worker.process.returncode
    if outcome.end:
        return
    if not worker.over:
        outcome.end, outcome.message = "limit", f"the limit of {limit:g} s was reached"
        return
    outcome.end = "error"
    if code < 0:
        outcome.message = f"the method's process was ended by {signal.Signals(-code).name}"
    else:
        outcome.message = f"the method's process ended itself with exit code {code}"


def _together(outcomes: Sequence[Outcome], as_many_as_fit: bool) -> Outcome:
    """The outcome of all processes; one that failed is only ``lost`` where others made ``as_many_as_fit``."""
    if len(outcomes) == 1:
        return outcomes[0]
    loads, lasts = (
        [time for time in times if time is not None]
        for times in zip(*((one.load, one.last) for one in outcomes), strict=True)
    )
    failed = [
        f"process {number} of {len(outcomes)}: {one.message}"
        for number, one in enumerate(outcomes, 1)
        if one.end in ("invalid", "error")
    ]
    sound = [one for one in outcomes if one.end not in ("invalid", "error")]
    broken = any(one.end == "invalid" for one in outcomes)
    survived = as_many_as_fit and sound and not broken
    worst = max(
        (one for one in (sound if survived else outcomes)),
        key=lambda one: ("done", "limit", "error", "invalid").index(one.end or "error"),
    )
    return Outcome(
        end=worst.end,
        message="; ".join(failed) if failed and not survived else worst.message,
        parts=[part for one in outcomes for part in one.parts],
        sampled=sum(one.sampled for one in outcomes),
        images=sum(one.images for one in outcomes),
        ipc=sum(one.ipc for one in outcomes),
        load=min(loads, default=None),
        last=max(lasts, default=None),
        facts=_facts_of(sound or outcomes) | {"processes": len(outcomes)},
        used_real_data=any(one.used_real_data for one in outcomes),
        lost=failed if survived else [],
    )


def _facts_of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Those of the first process that told any, with the GPUs of all."""
    facts = next((one.facts for one in outcomes if one.facts), {})
    gpus = sum(one.facts.get("gpus", 0) for one in outcomes)
    return facts | ({"gpus": gpus} if gpus else {})


def _unread(descriptor: int) -> Iterator[bytes]:
    """What was written last to a pipe and not yet read."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while data := os.read(descriptor, 65536):
            yield data
