"""Process distilled sets in child processes with memory and time limits.

Untrusted files are decoded in a process that does nothing else. Students are trained in another
process. A set that exhausts memory or time therefore stops neither this process nor the sets that
follow.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from benchmark_adapters.execution import channel
from benchmark_adapters.execution.channel import Child, UnknownEvent
from benchmark_adapters.execution.child import DEBUG_ENV, MEMORY_ENV
from benchmark_adapters.execution.messages import (
    DecodeJob,
    Ended,
    Failed,
    SandboxEvent,
    ScoreJob,
)
from benchmark_adapters.execution.process_tree import process_tree
from benchmark_adapters.types import UserError

DECODER = "benchmark_adapters.execution.decoder"
SCORER = "benchmark_adapters.execution.scorer"
# Linux enforces RLIMIT_DATA; elsewhere the parent polls resident memory.
HAS_MEMORY_LIMIT = sys.platform == "linux"
_EVENTS = msgspec.json.Decoder(SandboxEvent)


@dataclass(frozen=True)
class Limits:
    """Limits of a child process.

    Attributes:
        seconds: time limit; None: no limit.
        memory: memory limit in bytes; None: three quarters of the machine's memory.
    """

    seconds: float | None = None
    memory: int | None = None

    @property
    def memory_bytes(self) -> int:
        import psutil

        return self.memory or psutil.virtual_memory().total * 3 // 4


class SandboxFailed(Exception):
    """Raised if a child process did not finish its work; the message explains why."""

    def __init__(self, cause: Literal["time", "memory", "exception"], text: str) -> None:
        super().__init__(text)
        self.cause = cause


def decode(path: Path, format_name: str, dataset: str, output: Path, limits: Limits) -> None:
    """Decode an untrusted file or folder into a native set.

    Args:
        path: the file or folder.
        format_name: name of its format.
        dataset: name of its dataset.
        output: folder for the native set.
        limits: limits of the child process.

    Raises:
        UserError: ``path`` is not a set of ``dataset`` in that format.
        SandboxFailed: decoding exceeded its limits, or the reader crashed.
    """
    job = DecodeJob(str(path.absolute()), format_name, dataset, str(output.absolute()))
    run(DECODER, job, limits, lambda event: None)


def score(job: ScoreJob, limits: Limits, on_event: Callable[[SandboxEvent], None]) -> None:
    """Check a native set and train students on it; ``on_event`` receives each result.

    Raises:
        UserError: the scoring process reported an error that the user can fix.
        SandboxFailed: scoring exceeded its limits, or crashed.
    """
    run(SCORER, job, limits, on_event)


def run(
    module: str,
    job: msgspec.Struct,
    limits: Limits,
    on_event: Callable[[SandboxEvent], None],
) -> None:
    """Run ``python -m module`` with ``job`` and ``limits``; ``on_event`` receives its events.

    Raises:
        UserError: the process reported an error that the user can fix.
        SandboxFailed: the process exceeded its limits, or crashed.
    """
    memory = limits.memory_bytes
    with process_tree() as tree:
        child = channel.start(tree, module, job, _environment(memory))
        listener = _Listener(on_event)
        try:
            deadline = None if limits.seconds is None else time.monotonic() + limits.seconds
            watch = _memory_watch(child, memory)
            channel.listen([child], deadline, listener.hear, on_poll=watch)
        except KeyboardInterrupt:
            for data in channel.unread(child.events):
                listener.hear(child, data)
            raise
        except (UnknownEvent, msgspec.DecodeError):
            raise SandboxFailed("exception", "its process sent an invalid event") from None
        finally:
            child.close()
        listener.check(child, limits, memory)


def _environment(memory: int) -> dict[str, str]:
    environment = {DEBUG_ENV: "1"} if "--debug" in sys.argv else {}
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
            raise _crashed(self.failure.cause, self.failure.text, memory)
        if not child.is_done:
            raise SandboxFailed("time", f"it took longer than {limits.seconds:g} s")
        if not self.has_ended:
            code = child.process.wait()
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise _crashed("exception", reason, memory)


def _crashed(cause: Literal["memory", "exception"], reason: str, memory: int) -> SandboxFailed:
    allowed = f"its memory limit is {memory / 2**30:.1f} GiB"
    return SandboxFailed(cause, f"its process failed with {reason}; {allowed}")


def _memory_watch(child: Child, memory: int) -> Callable[[], None] | None:
    """Return a function that raises if the child uses too much memory.

    Return None if the system itself enforces the limit.
    """
    if HAS_MEMORY_LIMIT:
        return None
    import psutil

    process = psutil.Process(child.process.pid)

    def watch() -> None:
        with contextlib.suppress(psutil.Error):
            if process.memory_info().rss > memory:
                raise _crashed("memory", "MemoryError", memory)

    return watch
