"""The child's end of a channel: read the job, send events, exit when the parent is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from benchmark_adapters import plugins
from benchmark_adapters.execution.messages import Ended, Event, Failed
from benchmark_adapters.execution.process_tree import (
    GUARDED_ENV,
    RUN_TAG_ENV,
    kill_children,
    kill_tagged,
)
from benchmark_adapters.types import UserError, one_line

# Environment variables: the limit of private memory in bytes, and whether to print tracebacks.
MEMORY_ENV = "DDBENCH_MEMORY"
DEBUG_ENV = "DDBENCH_DEBUG"
# Characters of an error. It may name files whose names are not UTF-8, which an event can't hold.
MAX_TEXT = 5000

J = TypeVar("J", bound=msgspec.Struct)
Send = Callable[[Event], None]


def serve(job_type: type[J], work: Callable[[J, Send], None]) -> None:
    """Do the job that the parent wrote to stdin.

    ``sys.argv[1]`` is the file descriptor for events.
    """
    events = os.fdopen(int(sys.argv[1]), "wb", buffering=0)
    os.set_inheritable(events.fileno(), False)
    lifeline = os.fdopen(os.dup(0), "rb")
    job = msgspec.json.decode(lifeline.readline(), type=job_type)
    known = msgspec.json.decode(lifeline.readline(), type=list[plugins.PartDescription])
    plugins.THIRD_PARTY.set(known)
    if GUARDED_ENV not in os.environ:
        threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    owner = os.getpid()

    def send(event: Event) -> None:
        # Plugin code may have forked, and the forked process ended up here.
        if os.getpid() != owner:
            os._exit(0)
        line = memoryview(msgspec.json.encode(event) + b"\n")
        # A pipe may accept only a part of the line.
        while line:
            line = line[events.write(line) :]

    work(job, send)
    kill_children()
    send(Ended())


def _end_with_parent(lifeline: Any) -> None:
    lifeline.read()
    kill_children()
    kill_tagged(os.environ[RUN_TAG_ENV])
    os.killpg(0, signal.SIGKILL)


def serve_limited(job_type: type[J], work: Callable[[J, Send], None]) -> None:
    """Do the job like `serve`, but limit memory and send exceptions from ``work`` as events."""
    serve(job_type, guarded(work))


def guarded(work: Callable[[J, Send], None]) -> Callable[[J, Send], None]:
    """Return a version of ``work`` that sends a `Failed` event instead of raising."""

    def guarded_work(job: J, send: Send) -> None:
        if allowed := os.environ.get(MEMORY_ENV):
            _limit_memory(int(allowed))
        try:
            work(job, send)
        except UserError as error:
            send(Failed("user", one_line(error, MAX_TEXT)))
        except MemoryError:
            send(Failed("memory", "MemoryError", _memory_limit()))
        except Exception as error:
            # Untrusted files can cause any exception.
            if DEBUG_ENV in os.environ:
                traceback.print_exc()
            text = one_line(f"{type(error).__name__}: {error}")
            send(Failed("exception", text, _memory_limit()))

    return guarded_work


def limit_growth(most: int) -> None:
    """Let this process take ``most`` more bytes of private memory, within the parent's limit.

    A later call may allow more than an earlier one.
    """
    if allowed := os.environ.get(MEMORY_ENV):
        import psutil

        _limit_memory(min(int(allowed), psutil.Process().memory_info().data + most))


def _memory_limit() -> int | None:
    """Return the limit of private memory in bytes; None: the system enforces none."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _limit_memory(allowed: int) -> None:
    """Limit private memory, which excludes mapped libraries."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = allowed if hard == resource.RLIM_INFINITY else min(allowed, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
