"""A process of its own for work on strangers' files: with limits on memory and time, and ended with its parent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from benchmark_adapters.execution.process_tree import MARK, adopt_orphans, end, undisturbed
from benchmark_adapters.types import UserError, one_line

HEEDED = (
    sys.platform == "linux"
)  # whether the system enforces RLIMIT_DATA; elsewhere the parent polls resident memory
WATCH = 0.1  # seconds between two polls
GRACE = 30.0  # seconds that a process has to write down what it has, interrupted or at its limit


class TooLong(KeyboardInterrupt):
    """The time is over: what is finished is written down, as at an interruption."""


class Ended(Exception):
    """The process gave no answer; the message says why."""


def ask(module: str, job: Mapping[str, Any], seconds: float, memory: int) -> dict[str, Any]:
    """Runs ``python -m module``, which answers ``job`` by `serve`; ``memory`` in bytes.

    Raises:
        UserError: what the process said that the user can mend.
        Ended: it took more time or memory than allowed, or broke down.
        KeyboardInterrupt: the process, which gets the interruption too, had nothing to answer.
    """
    mark, others = uuid.uuid4().hex, adopt_orphans()
    ours, theirs = os.pipe()
    asked = {
        **job,
        "memory": memory if HEEDED else None,
        "seconds": seconds,
        "mark": mark,
        "debug": "--debug" in sys.argv,
    }
    command = [sys.executable, "-m", module, str(ours)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[ours],
        start_new_session=True,
        env={**os.environ, MARK: mark},
    )
    os.close(ours)
    try:
        return _answer(process, json.dumps(asked).encode(), seconds, memory)
    finally:
        with undisturbed():
            os.close(theirs)
            end([process], mark, others)


def _answer(
    process: subprocess.Popen[bytes], asked: bytes, seconds: float, memory: int
) -> dict[str, Any]:
    try:
        text = _wait(
            process, asked, seconds + GRACE, memory
        )  # it ends by itself at the limit, unless it is stuck
    except subprocess.TimeoutExpired:
        raise Ended(f"it took longer than {seconds:g} s") from None
    except MemoryError:
        process.kill()
        text = json.dumps({"broke": "MemoryError"}).encode()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        text = b""
        with contextlib.suppress(subprocess.TimeoutExpired):
            text, _ = process.communicate(timeout=GRACE)
        if not text:
            raise
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        code = process.returncode
        answer = {
            "broke": f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        }
    if "error" in answer:
        raise UserError(answer["error"])
    if "late" in answer:
        raise Ended(answer["late"])
    if "broke" in answer:
        raise Ended(
            f"its process broke down with {answer['broke']}; it may use {memory / 2**30:.1f} GiB of memory"
        )
    return answer


def _wait(process: subprocess.Popen[bytes], asked: bytes, seconds: float, memory: int) -> bytes:
    """What the process writes until its end.

    Raises:
        MemoryError: it uses more memory than allowed, and the system enforces no limit.
        subprocess.TimeoutExpired: it is not done after ``seconds``.
    """
    if HEEDED:
        return process.communicate(asked, timeout=seconds)[0]
    import psutil

    deadline, unsent = time.monotonic() + seconds, asked or None
    while True:
        try:
            return process.communicate(unsent, timeout=WATCH)[0]
        except subprocess.TimeoutExpired:
            unsent = None
            if time.monotonic() > deadline:
                raise
            with contextlib.suppress(psutil.Error):
                if psutil.Process(process.pid).memory_info().rss > memory:
                    raise MemoryError from None


def serve(work: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """In the process: answers what it was asked by ``work``, under its limits. What ``work`` prints goes to stderr."""
    import threading

    kept = os.dup(1)
    os.dup2(2, 1)
    lifeline, asked = int(sys.argv[1]), json.loads(sys.stdin.buffer.read())
    os.set_inheritable(lifeline, False)
    threading.Thread(target=_end_with_parent, args=(lifeline, asked["mark"]), daemon=True).start()
    _limit(asked["memory"], asked["seconds"])
    try:
        result = work(asked)
    except UserError as error:
        result = {"error": str(error)}
    except TooLong as error:
        result = {"late": str(error)}
    except KeyboardInterrupt:
        sys.exit(1)
    except Exception as error:  # strangers' files may cause any
        if asked["debug"]:
            traceback.print_exc()
        result = {"broke": one_line(f"{type(error).__name__}: {error}")}
    with os.fdopen(kept, "w") as out:
        out.write(json.dumps(result))


def _limit(memory: int | None, seconds: float) -> None:
    """Of time, and of private memory, by which libraries that are only mapped don't count."""
    import resource

    def late(*_: object) -> NoReturn:
        raise TooLong(f"it took longer than {seconds:g} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)

    if memory is None:
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(
            resource.RLIMIT_DATA,
            (memory if hard == resource.RLIM_INFINITY else min(memory, hard), hard),
        )


def _end_with_parent(lifeline: int, mark: str) -> None:
    from benchmark_adapters.execution.process_tree import end_strays

    os.read(lifeline, 1)
    end_strays(mark)
    os.killpg(0, signal.SIGKILL)
