"""Watch what the processes of a method use together: memory, processes and disk space.

A `cgroup` also bounds memory and processes between two looks, where it can be had.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.execution import cgroup, guard
from benchmark_adapters.execution.process_tree import ProcessTree, descendants

if TYPE_CHECKING:
    import psutil

# Seconds between two looks.
INTERVAL = 0.25
# The kernel counts more as memory than a look finds, such as its own tables: a share of the bound.
SLACK = 1 / 16


class BoundExceeded(Exception):
    """Raised if processes use more than they may; the message says what."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of what the processes of a method use together.

    Attributes:
        memory: bytes; None: three quarters of the machine's memory.
        written: bytes by which the free space on the disk may shrink; None: half of it.
        threads: number of threads; a process has at least one.
    """

    memory: int | None = None
    written: int | None = None
    threads: int = guard.MAX_TASKS


class Watch:
    """A look at the processes of a tree now and then.

    It is made before the first process starts, which joins the control group.
    """

    def __init__(self, tree: ProcessTree, folder: Path, bounds: Bounds) -> None:
        import psutil

        self._tree, self._folder, self._next = tree, folder, 0.0
        self._memory = bounds.memory or psutil.virtual_memory().total * 3 // 4
        free = _free(folder)
        self._written = bounds.written or free // 2
        self._least_free = free - self._written
        self._threads = bounds.threads
        self._group = cgroup.new(tree.tag, int(self._memory * (1 + SLACK)), bounds.threads)
        tree.group = self._group

    def look(self) -> None:
        """Compare what is used with the bounds, unless the last look was a moment ago.

        Raises:
            BoundExceeded: it is more.
        """
        if time.monotonic() < self._next:
            return
        self.look_at_group()
        processes = _all(process.pid for process in self._tree.processes)
        if _threads(processes) > self._threads:
            raise BoundExceeded(f"it started more than {self._threads:,} processes or threads")
        if self._exceeds_memory(processes):
            raise self._too_much_memory()
        # The free space also tells of files elsewhere, and of those without a name.
        with contextlib.suppress(OSError):
            if _free(self._folder) < self._least_free:
                raise BoundExceeded(
                    f"{self._written / 2**30:.1f} GiB of the disk were filled while it ran"
                )
        self._next = time.monotonic() + INTERVAL

    def _exceeds_memory(self, processes: Sequence[psutil.Process]) -> bool:
        resident = _resident(processes)
        if max(resident) > self._memory:
            return True
        # This takes long, and a process that takes up memory holds it up.
        return sum(resident) > self._memory and _shared_once(processes) > self._memory

    def look_at_group(self) -> None:
        """Ask the kernel whether the processes have reached a bound of their control group.

        Raises:
            BoundExceeded: they have.
        """
        if self._group and self._group.used_up_memory():
            raise self._too_much_memory()
        if self._group and self._group.used_up_tasks():
            raise BoundExceeded(
                f"it was refused another process or thread; it may have {self._threads:,} at most"
            )

    def _too_much_memory(self) -> BoundExceeded:
        gib = self._memory / 2**30
        return BoundExceeded(
            f"it used more than {gib:.1f} GiB of memory; --memory-limit sets the limit"
        )


def used_memory(pids: Iterable[int]) -> int:
    """Return the resident memory of processes and of those that they started, in bytes."""
    return sum(_resident(_all(pids)))


def _all(pids: Iterable[int]) -> list[psutil.Process]:
    """Return processes and those that they started."""
    import psutil

    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found += [psutil.Process(pid), *descendants(pid)]
    return found


def _threads(processes: Iterable[psutil.Process]) -> int:
    import psutil

    count = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            count += process.num_threads()
    return count


def _resident(processes: Iterable[psutil.Process]) -> list[int]:
    """Return the resident memory of each process in bytes."""
    import psutil

    found = [0]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found.append(process.memory_info().rss)
    return found


def _shared_once(processes: Iterable[psutil.Process]) -> int:
    """Return the memory of all processes in bytes; pages that several share count once.

    Where the system can't tell, they count as often as they are shared.
    """
    import psutil

    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total


def _free(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on."""
    return shutil.disk_usage(folder).free
