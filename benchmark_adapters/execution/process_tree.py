"""Processes of runs: no signal disturbs what is begun, and nothing that a method started outlives it.

On Linux the harness adopts orphans, so it finds every descendant of a run. Other systems hand them to init: there it finds the
processes that are still descendants when the run ends, and those that carry the run's mark.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

MARK = "DDBENCH_PROCESS"  # environment variable that names the run in every process that its method starts
ADOPTS = sys.platform == "linux"  # a process can become the parent of orphans below it


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Holds back the signals that would interrupt, so that what is begun is finished; they arrive afterwards."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def adopt_orphans() -> set[int]:
    """Makes this process the parent of orphans below it where the system can, so that none gets out of sight; the pids already there."""
    import psutil

    if ADOPTS:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    return {child.pid for child in psutil.Process().children(recursive=True)}


def end(processes: Sequence[subprocess.Popen[bytes]], mark: str, others: set[int]) -> None:
    """Ends the process groups at once, then whatever left them: descendants, adopted orphans, and what carries the run's mark."""
    import psutil

    below = [child for process in processes for child in descendants(process.pid)]
    for process in processes:
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # macOS refuses where only a zombie is left
            os.killpg(process.pid, signal.SIGKILL)
    for child in below:
        with contextlib.suppress(psutil.Error):
            child.kill()
    for process in processes:
        process.wait()
    for _ in range(10):  # a process may start another while it is looked for
        orphans = [
            child for child in psutil.Process().children(recursive=True) if child.pid not in others
        ]
        for orphan in orphans:
            with contextlib.suppress(psutil.Error):
                orphan.kill()
        psutil.wait_procs(orphans, timeout=1)
        if not orphans:
            break
    end_strays(mark)


def descendants(pid: int) -> list[psutil.Process]:
    """Children of a process and their children; none where it is gone."""
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def end_children() -> None:
    """Ends what this process started, so that none of it becomes an orphan."""
    import psutil

    for child in descendants(os.getpid()):
        with contextlib.suppress(psutil.Error):
            child.kill()


def end_strays(mark: str) -> None:
    """Ends every other process that carries ``mark``."""
    import psutil

    for _ in range(10):  # a process may start another while it is looked for
        strays = [
            other
            for other in psutil.process_iter()
            if other.pid != os.getpid() and _marked(other, mark)
        ]
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
