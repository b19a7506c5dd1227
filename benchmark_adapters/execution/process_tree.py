"""Start process trees, kill them completely, and block signals while work is finished.

On Linux, each command runs below a `guard`, which ends with this process and ends whatever the
command started. This process adopts what a guard leaves, so it finds every descendant of a run.
Other systems hand orphans to init. There it finds the processes that are still descendants when the
run ends, and those that carry the run's tag in their environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from benchmark_adapters.execution import guard
from benchmark_adapters.execution.cgroup import Group

if TYPE_CHECKING:
    import psutil

# Environment variable with the tag of the tree, set in every process that belongs to it.
RUN_TAG_ENV = "DDBENCH_PROCESS"
# Set if a guard ends the process when the harness is gone.
GUARDED_ENV = "DDBENCH_GUARDED"
ADOPTS_ORPHANS = sys.platform == "linux"
GUARD = Path(guard.__file__)
# Processes may start others during the search, so the search is repeated.
MAX_KILL_ROUNDS = 10
# Signals that end a run early.
INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
# Seconds to wait for a process that was killed. Another one may hold it, as a debugger does.
MAX_WAIT = 5.0


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold back interrupting signals until the ``with`` block has finished.

    A mask of this thread would not do: another thread, such as one of numpy's, would receive them,
    and Python would still handle them in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.getsignal(number) for number in INTERRUPTING}
    _handle({number: lambda number, frame: held.append(number) for number in before})
    try:
        yield
    finally:
        # A signal may interrupt the first attempt.
        try:
            _handle(before)
        finally:
            _handle(before)
        for number in held:
            signal.raise_signal(number)


def _handle(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        # A handler of None is not Python's own.
        if handler is not None:
            signal.signal(number, handler)


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL, or its number if it has none, such as 40."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


@dataclass
class ProcessTree:
    """Processes started for one purpose, and everything that they start.

    Attributes:
        tag: the value of `RUN_TAG_ENV` in each of them.
        others: pids of descendants that don't belong to the tree.
        processes: the processes started by `start`.
        lifeline: both ends of a pipe. When the second one closes, because this process is gone or
            the tree was killed, the guards kill everything.
        group: the control group of those that are started from now on, if they have one.
    """

    tag: str
    others: set[int]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    lifeline: list[int] = field(default_factory=lambda: list(os.pipe()))
    group: Group | None = None

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
        """Start ``command`` in a new session.

        Args:
            command: the program and its arguments.
            environment: environment variables to add to those of this process.
            stdin: as for `subprocess.Popen`, like the arguments below.
            stdout: destination of the output.
            stderr: destination of error messages.
            pass_fds: file descriptors to keep open in the process.
            cwd: working directory.

        Returns:
            The process.

        Raises:
            OSError: the process can't be started.
        """
        own = {**(environment or {}), RUN_TAG_ENV: self.tag}
        if ADOPTS_ORPHANS:
            end, group = self.lifeline[0], str(self.group.path) if self.group else ""
            command = [sys.executable, "-I", "-S", str(GUARD), str(end), group, *command]
            pass_fds, own = [*pass_fds, end], {**own, GUARDED_ENV: "1"}
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            cwd=cwd,
            start_new_session=True,
            env={**os.environ, **own},
        )
        self.processes.append(process)
        return process

    def kill(self) -> None:
        """Kill every process of the tree, also those that left their group or session.

        This takes a few seconds at most, whatever the processes do.
        """
        if self.group:
            self.group.kill()
        if ADOPTS_ORPHANS:
            guard.kill_descendants(self.others, self._reap)
        else:
            self._kill_groups()
        kill_tagged(self.tag)
        while self.lifeline:
            os.close(self.lifeline.pop())
        if self.group:
            self.group.remove()

    def _reap(self, pid: int) -> bool:
        """Collect a child that has exited. Those that `start` returned keep their exit codes."""
        for process in self.processes:
            if process.pid == pid:
                return process.poll() is not None
        return guard.reap(pid)

    def _kill_groups(self) -> None:
        """Kill the process groups, and the descendants that left them."""
        below = [child for process in self.processes for child in descendants(process.pid)]
        for process in self.processes:
            # macOS refuses if only a zombie is left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        _kill(below)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(MAX_WAIT)


def new_tree() -> ProcessTree:
    """Return an empty tree. All new descendants of this process belong to it from now on."""
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
    """Return all descendants of a process; none if it is gone."""
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def kill_children() -> None:
    """Kill all descendants of this process, so that none becomes an orphan."""
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
    """Adopt orphans if the system allows it; return the pids of the current descendants."""
    import psutil

    if ADOPTS_ORPHANS:
        # Option 36 is PR_SET_CHILD_SUBREAPER.
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _is_tagged(process: Any, tag: str) -> bool:
    import psutil

    try:
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return is_alive and process.environ().get(RUN_TAG_ENV) == tag
    except (psutil.Error, OSError):
        # The process is gone, or belongs to another user.
        return False
