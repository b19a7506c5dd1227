"""Runs a method in a process of its own under the parent's clock, and ends it at the limit."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmark_adapters.types import one_line

MARK = "DDBENCH_PROCESS"  # environment variable that names the run in every process that its method starts
INTERRUPTED = "interrupted"
LOG_BYTES = 128 * 1024


@dataclass
class Outcome:
    """What a method had done by the limit.

    Attributes:
        end: it was ``done``, ran into the ``limit``, broke the contract (``invalid``) or failed (``error``); None: no word of it yet.
        rounds: the files of the rounds that were complete in time, in order.
        sampled: freshly sampled images in them; ``ipc``: images per class.
        load, generate: seconds until the method was ready, and from there to its last round.
        facts: what it reported when it was ready.
    """

    end: Literal["done", "limit", "invalid", "error"] | None = None
    message: str = ""
    rounds: list[Path] = field(default_factory=list)
    sampled: int = 0
    ipc: int = 0
    load: float | None = None
    generate: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    used_real_data: bool = False


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


def supervise(job: dict[str, Any], limit: float, folder: Path, on_round: Callable[[int], None]) -> Outcome:
    """Executes ``job`` (see `benchmark_adapters.worker`) for at most ``limit`` seconds, start of the process included.

    Writes the rounds to ``folder / "rounds"`` and the method's output to ``folder / "log.txt"``; ``on_round`` hears
    the images per class so far. When this returns or raises, no process that the method started is left: on Linux
    every new descendant of this process counts as one.
    """
    folder = folder.absolute()  # a method may change its working directory
    (folder / "rounds").mkdir()
    outcome, log, mark, others = Outcome(), Log(), uuid.uuid4().hex, _adopt_orphans()
    events, events_end = os.pipe()
    started = time.monotonic()
    deadline = started + limit
    job = {**job, "rounds": str(folder / "rounds"), "limit": limit, "deadline": deadline}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "benchmark_adapters.worker", str(events_end)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[events_end],
        start_new_session=True,
        env={**os.environ, MARK: mark, "PYTHONUNBUFFERED": "1"},
    )
    os.close(events_end)
    assert process.stdin
    assert process.stdout
    try:
        with contextlib.suppress(BrokenPipeError):  # a process that ended at once is reported below
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
        _listen(process, events, deadline, log, lambda event: _note(event, outcome, started, folder, on_round))
    except KeyboardInterrupt:  # what is there so far is worth keeping
        outcome.end, outcome.message = "error", INTERRUPTED
    except (ValueError, KeyError, TypeError):  # a line that our worker did not write
        outcome.end, outcome.message = "invalid", "the method wrote into the harness's own channel"
    finally:
        with undisturbed():
            _end(process, mark, others)
            _drain(process.stdout.fileno(), log)
            os.close(events)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            (folder / "log.txt").write_text(log.text(), encoding="utf-8")
    _conclude(outcome, process, deadline, limit)
    return outcome


def _listen(process: subprocess.Popen[bytes], events: int, deadline: float, log: Log, note: Callable[[dict[str, Any]], bool]) -> None:
    """Reads output and events until the method's last event, its death or the deadline."""
    assert process.stdout
    unread = b""
    with selectors.DefaultSelector() as selector:
        selector.register(events, selectors.EVENT_READ)
        selector.register(process.stdout, selectors.EVENT_READ)
        while (remaining := deadline - time.monotonic()) > 0:
            alive = process.poll() is None
            ready = [key.fd for key, _ in selector.select(min(remaining, 0.1) if alive else 0)]
            for descriptor in ready:
                data = os.read(descriptor, 65536)
                if not data:
                    selector.unregister(descriptor)
                elif descriptor == events:
                    *lines, unread = (unread + data).split(b"\n")
                    # A round counts when the parent hears of it in time.
                    if time.monotonic() <= deadline and any(note(json.loads(line)) for line in lines):
                        return
                else:
                    log.write(data)
            if not alive and events not in ready:
                return


def _note(event: dict[str, Any], outcome: Outcome, started: float, folder: Path, on_round: Callable[[int], None]) -> bool:
    """Takes one event into ``outcome``; True when it is the last."""
    elapsed = time.monotonic() - started
    match event["kind"]:
        case "ready":
            outcome.load = elapsed
            outcome.facts.update(event["facts"])
        case "real_data":
            outcome.used_real_data = True
        case "round":
            outcome.rounds.append(folder / "rounds" / event["file"])
            outcome.sampled += event["generated"]
            outcome.ipc = event["ipc"]
            outcome.generate = elapsed - (outcome.load or 0)
            on_round(outcome.ipc)
        case "end":
            outcome.end = outcome.end or "done"
            return True
        case "invalid" | "error":
            outcome.end, outcome.message = event["kind"], one_line(event["message"]) or "no reason given"
        case unknown:
            raise ValueError(unknown)
    return False


def _conclude(outcome: Outcome, process: subprocess.Popen[bytes], deadline: float, limit: float) -> None:
    """Says how it ended where no event said so."""
    if outcome.end:
        return
    outcome.end = "error"
    if time.monotonic() >= deadline:
        outcome.end, outcome.message = "limit", f"the limit of {limit:g} s was reached"
    elif process.returncode < 0:
        outcome.message = f"the method's process was ended by {signal.Signals(-process.returncode).name}"
    else:
        outcome.message = f"the method's process ended itself with exit code {process.returncode}"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Holds back the signals that would interrupt, so that what is begun is finished; they arrive afterwards."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _adopt_orphans() -> set[int]:
    """Makes this process the parent of orphans below it (Linux), so that none gets out of sight; the pids already there."""
    import psutil

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _end(process: subprocess.Popen[bytes], mark: str, others: set[int]) -> None:
    """Ends the process group at once, then whatever left it: adopted orphans, and what carries the run's mark."""
    import psutil

    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(10):  # a process may start another while it is looked for
        orphans = [child for child in psutil.Process().children(recursive=True) if child.pid not in others]
        for orphan in orphans:
            with contextlib.suppress(psutil.Error):
                orphan.kill()
        psutil.wait_procs(orphans, timeout=1)
        if not orphans:
            break
    end_strays(mark)


def end_strays(mark: str) -> None:
    """Ends every other process that carries ``mark``."""
    import psutil

    for _ in range(10):  # a process may start another while it is looked for
        strays = [other for other in psutil.process_iter() if other.pid != os.getpid() and _marked(other, mark)]
        for stray in strays:
            with contextlib.suppress(psutil.Error):
                stray.kill()
        if not strays:
            return


def _marked(process: Any, mark: str) -> bool:
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
    except (psutil.Error, OSError):  # it is gone, or another user's
        return False


def _drain(descriptor: int, log: Log) -> None:
    """What was printed last and not yet read."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while data := os.read(descriptor, 65536):
            log.write(data)
