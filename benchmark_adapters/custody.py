"""A process of its own for work on strangers' files: with limits on memory and time, and ended with its parent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from benchmark_adapters.processes import MARK, adopt_orphans, end, undisturbed

GRACE = 60.0  # seconds that an interrupted process has to write down what it has


class Ended(Exception):
    """The process gave no answer; the message says why."""


def ask(module: str, job: Mapping[str, Any], seconds: float, memory: int) -> dict[str, Any]:
    """Runs ``python -m module``, which answers ``job`` by `answer`; ``memory`` in bytes.

    Raises:
        Ended: it took more time or memory than allowed, or broke down.
        KeyboardInterrupt: as soon as the process has ended, which gets the interruption too.
    """
    mark, others = uuid.uuid4().hex, adopt_orphans()
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", module, str(ours), json.dumps({**job, "memory": memory, "mark": mark})]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[ours], start_new_session=True, env={**os.environ, MARK: mark})
    os.close(ours)
    try:
        return _answer(process, seconds, memory)
    finally:
        with undisturbed():
            os.close(theirs)
            end([process], mark, others)


def _answer(process: subprocess.Popen[bytes], seconds: float, memory: int) -> dict[str, Any]:
    try:
        text, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Ended(f"it took longer than {seconds:g} s") from None
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE)
        raise
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        code = process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise Ended(f"its process broke down with {how}; it may use {memory / 2**30:.1f} GiB of memory") from None
    return answer


def job() -> dict[str, Any]:
    """What this process was asked; sets its limits, and ends it with its parent."""
    import threading

    lifeline, asked = int(sys.argv[1]), json.loads(sys.argv[2])
    os.set_inheritable(lifeline, False)
    threading.Thread(target=_end_with_parent, args=(lifeline, asked["mark"]), daemon=True).start()
    _limit(asked["memory"])
    return dict(asked)


def answer(result: Mapping[str, Any], to: int) -> None:
    """The result, on the descriptor that `quiet` has kept."""
    with os.fdopen(to, "w") as out:
        out.write(json.dumps(result))


def quiet() -> int:
    """Leads everything that is printed to stderr; returns the descriptor for the answer."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def _limit(memory: int) -> None:
    """Of private memory, by which libraries that are only mapped don't count. Systems other than Linux may not heed it."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory if hard == resource.RLIM_INFINITY else min(memory, hard), hard))


def _end_with_parent(lifeline: int, mark: str) -> None:
    from benchmark_adapters.processes import end_strays

    os.read(lifeline, 1)
    end_strays(mark)
    os.killpg(0, signal.SIGKILL)
