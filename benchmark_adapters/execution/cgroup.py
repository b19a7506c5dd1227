"""Put processes into a control group of their own, where this user may make one.

Its bounds hold at every moment, also between two looks of `watch`: the kernel ends a group that
takes too much memory, and refuses it further processes. It also ends all of a group at once,
however fast its processes fork. These are the groups of cgroup v2, which only Linux has.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

PREFIX = "ddbench"
PROC = Path("/proc/self")
CONTROLLERS = frozenset({"memory", "pids"})
# Bounds that a user may have put on this process. Processes in a group beside it would evade them.
OWN_BOUNDS = ("memory.max", "memory.high", "cpu.max", "cpuset.cpus")
# Seconds to wait until all processes of a group are gone.
MAX_WAIT, POLL = 5.0, 0.01


class NoGroup(Exception):
    """Raised if this process can't make a group; the message says why."""


@dataclass(frozen=True)
class Group:
    """A control group.

    Attributes:
        path: its folder. A process that writes 0 to ``cgroup.procs`` in there joins the group, and
            so does everything that it starts.
        tasks: the largest number of processes and threads.
    """

    path: Path
    tasks: int

    def used_up_memory(self) -> bool:
        """Return whether the kernel has ended the group because of its memory."""
        events = _counts(self.path / "memory.events")
        # Processes are also killed when the machine has no memory left: that is not an ``oom``.
        return bool(events.get("oom") and events.get("oom_kill"))

    def used_up_tasks(self) -> bool:
        """Return whether the kernel has refused the group a process or thread."""
        return bool(_counts(self.path / "pids.events").get("max"))

    def kill(self) -> None:
        """Kill all processes in the group."""
        with contextlib.suppress(OSError):
            _write(self.path / "cgroup.kill", 1)
            return
        # Linux before 5.14 has no such file.
        for folder, _, _ in os.walk(self.path):
            for pid in _read(Path(folder) / "cgroup.procs").split():
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)

    def remove(self) -> None:
        """Remove the group, and kill what is left in it.

        If something keeps it for long, it stays, and a later run removes it.
        """
        deadline = time.monotonic() + MAX_WAIT
        while not _removed(self.path) and time.monotonic() < deadline:
            self.kill()
            time.sleep(POLL)


def place() -> Path:
    """Return the folder in which this process can make groups.

    They are made beside its own group: one with processes can't bound the groups within it.

    Raises:
        NoGroup: there is no such folder.
    """
    mount, name = _mount(), _own_name()
    own = mount / name.lstrip("/")
    parent = mount if own == mount else own.parent
    controllers = _read(parent / "cgroup.subtree_control").split()
    if missing := sorted(CONTROLLERS.difference(controllers)):
        raise NoGroup(f"groups in {parent} have no controller for {' and '.join(missing)}")
    if not all(os.access(path, os.W_OK) for path in (parent, parent / "cgroup.procs")):
        raise NoGroup(f"{parent} can't be written")
    if own != parent and (bounds := [file for file in OWN_BOUNDS if _is_set(own / file)]):
        raise NoGroup(f"the bounds of {own} would not hold beside it ({', '.join(bounds)})")
    return parent


def new(tag: str, memory: int, tasks: int) -> Group | None:
    """Make a group.

    Args:
        tag: a unique name.
        memory: the most bytes of memory.
        tasks: the largest number of processes and threads.

    Returns:
        The group; None: this process can't make one.
    """
    try:
        parent = place()
        _remove_leftovers(parent)
        group = Group(parent / f"{PREFIX}-{os.getpid()}-{tag}", tasks)
        group.path.mkdir()
    except (NoGroup, OSError):
        return None
    try:
        _write(group.path / "memory.max", memory)
        _write(group.path / "memory.oom.group", 1)
        _write(group.path / "pids.max", tasks)
    except OSError:
        group.remove()
        return None
    # Not every kernel accounts for swap.
    with contextlib.suppress(OSError):
        _write(group.path / "memory.swap.max", 0)
    return group


def _mount() -> Path:
    for line in _read(PROC / "mountinfo").splitlines():
        fields = line.split()
        root, mount, kind = fields[3], fields[4], fields[fields.index("-") + 1]
        if (root, kind) == ("/", "cgroup2"):
            return Path(mount)
    raise NoGroup("no cgroup v2 is mounted")


def _own_name() -> str:
    for line in _read(PROC / "cgroup").splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    raise NoGroup("this process is in no group of cgroup v2")


def _remove_leftovers(parent: Path) -> None:
    """Remove the empty groups of processes that were killed."""
    for path in parent.glob(f"{PREFIX}-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
            _removed(path)


def _removed(path: Path) -> bool:
    """Remove a group and those within it; return False if processes are left in one of them."""
    try:
        for folder, _, _ in os.walk(path, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return True


def _is_set(file: Path) -> bool:
    text = _read(file)
    return bool(text) and not text.startswith("max")


def _counts(file: Path) -> dict[str, int]:
    lines = [line.split() for line in _read(file).splitlines()]
    return {name: int(count) for name, count in lines}


def _read(file: Path) -> str:
    """Return what a file contains; nothing if it can't be read."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _write(file: Path, value: int) -> None:
    file.write_text(str(value))
