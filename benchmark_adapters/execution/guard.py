"""Run a command on Linux, and end with it whatever it started, even if the harness is killed.

``python -I -S guard.py LIFELINE GROUP COMMAND...`` runs the command until it exits, or until the
pipe with the file descriptor LIFELINE closes, because the harness is gone. Then this process kills
all its descendants, which the kernel hands to it as orphans, and exits as the command did. The
kernel kills the command if this process dies.

This process and the command are in the control group whose folder is GROUP, unless that is empty.

This file imports nothing but the standard library, so that it starts in milliseconds.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# Seconds in which orphans are looked for. Processes that fork faster than they are killed, or that
# the kernel holds, must not keep this process.
MAX_SECONDS = 5.0
EXEC_FAILED = 127
# Processes and threads that a method may have. More of them stop a machine.
MAX_TASKS = 10_000


def main(lifeline: int, group: str, command: list[str]) -> None:
    """Run ``command`` and exit as it did; never return."""
    _tell(group, "cgroup.procs", "0")
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.set_inheritable(lifeline, False)
    wakes, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken)
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        _become(libc, parent, command)
    _close_all_but(lifeline, wakes, woken)
    status = _wait(pid, lifeline, wakes)
    if status is None:
        # This ends this process too.
        _tell(group, "cgroup.kill", "1")
    kill_descendants((), reap)
    _exit_as(
        signal.SIGKILL if status is None else status,
        is_isolated=os.path.basename(command[0]) == "bwrap",
    )


def _tell(group: str, name: str, text: str) -> None:
    """Write to a file of the group, if there is one."""
    if group:
        with contextlib.suppress(OSError), open(os.path.join(group, name), "w") as file:
            file.write(text)


def _become(libc: ctypes.CDLL, parent: int, command: list[str]) -> None:
    """Turn this process into the command, which the kernel kills together with its parent."""
    signal.set_wakeup_fd(-1)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before.
    if os.getppid() == parent:
        bound_tasks(MAX_TASKS)
        with contextlib.suppress(OSError):
            os.execvp(command[0], command)
    os._exit(EXEC_FAILED)


def bound_tasks(more: int) -> None:
    """Let this user have ``more`` processes and threads than all of the system have now.

    It holds for this process and what it starts, but not if the user is root.
    """
    with contextlib.suppress(OSError, ValueError), open("/proc/loadavg") as file:
        total = int(file.read().split()[3].partition("/")[2])
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        most = total + more if hard == resource.RLIM_INFINITY else min(total + more, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _close_all_but(*kept: int) -> None:
    """Close the command's pipes, so that their other ends see when it closes them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _wait(pid: int, lifeline: int, wakes: int) -> int | None:
    """Wait until the command exits, and return its status, or until the lifeline closes."""
    while True:
        ready = select.select([lifeline, wakes], [], [])[0]
        if wakes in ready:
            os.read(wakes, 4096)
        for child, status in _reaped():
            if child == pid:
                return status
        if lifeline in ready:
            return None


def reap(pid: int) -> bool:
    """Collect a child if it has exited; return whether it had."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _reaped() -> list[tuple[int, int]]:
    """Return the process ids and statuses of all children that have exited."""
    found = []
    with contextlib.suppress(ChildProcessError):
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                break
            found.append((child, status))
    return found


def kill_descendants(spared: Collection[int], reap: Callable[[int], bool]) -> None:
    """Kill all descendants of this process until there are none, but for a few seconds at most.

    Some start others faster than the scheduler gives this process its turn. So each round first
    kills all children, and the next one follows without a pause.

    Args:
        spared: ids of children to leave alone, together with what they started.
        reap: collects a child if it has exited; returns whether it had.
    """
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        children = [child for child in _children(os.getpid()) if child not in spared]
        if not children:
            return
        _kill(children)
        # There may be thousands that have exited, which have no children any more.
        for child in children:
            if not reap(child):
                _kill(descendants(child))
        os.sched_yield()


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the ids of a process's descendants."""
    found = _children(pid)
    for child in found:
        found += _children(child)
    return found


def _children(pid: int) -> list[int]:
    """Return the ids of a process's children, which most kernels list for each of its threads."""
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return [child for child, parent in _parents() if parent == pid]
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """Yield the ids of all processes and of their parents."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The name of the program comes before, in parentheses, and may contain anything.
                yield int(name), int(file.read().rpartition(b")")[2].split()[1])


def _exit_as(status: int, is_isolated: bool) -> None:
    """Exit with a status. Bubblewrap adds 128 to the number of the signal that killed a command."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if is_isolated and os.WIFEXITED(status):
        number = max(os.WEXITSTATUS(status) - 128, 0)
    if number:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
