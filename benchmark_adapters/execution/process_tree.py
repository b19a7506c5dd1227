"""Trees of processes: start them, block signals while work is finished, kill all that is left.

On Linux this process adopts orphans, so it finds every descendant of a run. Other systems hand
orphans to init: there it finds the processes that are still descendants when the run ends, and
those that carry the run's tag in their environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

# Environment variable that names the tree in every process that belongs to it.
RUN_TAG_ENV = "DDBENCH_PROCESS"
ADOPTS_ORPHANS = sys.platform == "linux"
# A process may start another while it is looked for.
MAX_KILL_ROUNDS = 10


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold back the signals that would interrupt, so that the block is finished first."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class ProcessTree:
    """Processes started for one purpose, with everything that they start.

    Attributes:
        tag: the value of `RUN_TAG_ENV` in each of them.
        others: pids of the descendants that this process had before.
    """

    tag: str
    others: set[int]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        pass_fds: Sequence[int] = (),
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start ``command`` in a session of its own. Arguments are those of `subprocess.Popen`.

        Raises:
            OSError: it can't be started.
        """
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            cwd=cwd,
            start_new_session=True,
            env={**os.environ, **(environment or {}), RUN_TAG_ENV: self.tag},
        )
        self.processes.append(process)
        return process

    def kill(self) -> None:
        """Kill the process groups at once, then whatever left them."""
        import psutil

        below = [child for process in self.processes for child in descendants(process.pid)]
        for process in self.processes:
            # macOS refuses where only a zombie is left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        _kill(below)
        for process in self.processes:
            process.wait()
        for _ in range(MAX_KILL_ROUNDS):
            children = psutil.Process().children(recursive=True)
            orphans = [child for child in children if child.pid not in self.others]
            _kill(orphans)
            psutil.wait_procs(orphans, timeout=1)
            if not orphans:
                break
        kill_tagged(self.tag)


def new_tree() -> ProcessTree:
    """Return an empty tree. From now on new descendants of this process belong to it."""
    return ProcessTree(uuid.uuid4().hex, _adopt_orphans())


@contextlib.contextmanager
def process_tree() -> Iterator[ProcessTree]:
    """Yield an empty tree, and kill it when the block ends."""
    tree = new_tree()
    try:
        yield tree
    finally:
        with signals_blocked():
            tree.kill()


def descendants(pid: int) -> list[psutil.Process]:
    """Return the children of a process and their children; none if it is gone."""
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def kill_children() -> None:
    """Kill what this process started, so that none of it becomes an orphan."""
    _kill(descendants(os.getpid()))


def kill_tagged(tag: str) -> None:
    """Kill every other process that carries ``tag``."""
    import psutil

    for _ in range(MAX_KILL_ROUNDS):
        strays = [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid() and _is_tagged(process, tag)
        ]
        if not strays:
            return
        _kill(strays)


def _kill(processes: Sequence[psutil.Process]) -> None:
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _adopt_orphans() -> set[int]:
    """Become the parent of orphans where the system can; return the pids already below."""
    import psutil

    if ADOPTS_ORPHANS:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _is_tagged(process: Any, tag: str) -> bool:
    import psutil

    try:
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return is_alive and process.environ().get(RUN_TAG_ENV) == tag
    except (psutil.Error, OSError):  # it is gone, or another user's
        return False
