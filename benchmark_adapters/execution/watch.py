"""Watch what the processes of a method use together: memory, processes and disk space.

A `cgroup` also bounds memory and processes between two looks, where it can be had.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark_adapters.execution import cgroup
from benchmark_adapters.execution.process_tree import ProcessTree, descendants

# Seconds between two looks.
INTERVAL = 0.25
MAX_PROCESSES = 2000
# The kernel counts threads too. Eight processes on 256 cores need more than two thousand.
MAX_TASKS = 8000
# The kernel counts more as memory than a look finds, such as its own tables: a share of the bound.
SLACK = 1 / 16


class BoundExceeded(Exception):
    """Raised if processes use more than they may; the message says what."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of what the processes of a method use together.

    Attributes:
        memory: bytes; None: three quarters of the machine's memory.
        written: bytes in the folder of batches; None: half of what is free on the disk.
        processes: number of processes.
        tasks: number of processes and threads, where a control group counts them.
    """

    memory: int | None = None
    written: int | None = None
    processes: int = MAX_PROCESSES
    tasks: int = MAX_TASKS


class Watch:
    """A look at the processes of a tree now and then.

    It is made before the first process starts, which joins the control group.
    """

    def __init__(self, tree: ProcessTree, folder: Path, bounds: Bounds) -> None:
        import psutil

        self._tree, self._folder, self._next = tree, folder, 0.0
        self._memory = bounds.memory or psutil.virtual_memory().total * 3 // 4
        self._written = bounds.written or shutil.disk_usage(folder).free // 2
        self._processes = bounds.processes
        self._group = cgroup.new(tree.tag, int(self._memory * (1 + SLACK)), bounds.tasks)
        tree.group = self._group

    def look(self) -> None:
        """Compare what is used with the bounds, unless the last look was a moment ago.

        Raises:
            BoundExceeded: it is more.
        """
        if time.monotonic() < self._next:
            return
        self.look_at_group()
        pids = [process.pid for process in self._tree.processes]
        if sum(len(descendants(pid)) for pid in pids) > self._processes:
            raise BoundExceeded(f"it started more than {self._processes:,} processes")
        # A count of shared pages once is costly.
        if used_memory(pids) > self._memory and used_memory(pids, "pss") > self._memory:
            raise self._too_much_memory()
        if _size(self._folder) > self._written:
            raise BoundExceeded(f"it wrote more than {self._written / 2**30:.1f} GiB")
        self._next = time.monotonic() + INTERVAL

    def look_at_group(self) -> None:
        """Ask the kernel whether the processes have reached a bound of their control group.

        Raises:
            BoundExceeded: they have.
        """
        if self._group and self._group.used_up_memory():
            raise self._too_much_memory()
        if self._group and self._group.used_up_tasks():
            allowed = f"it may have {self._group.tasks:,} at most"
            raise BoundExceeded(f"it was refused another process or thread; {allowed}")

    def _too_much_memory(self) -> BoundExceeded:
        gib = self._memory / 2**30
        return BoundExceeded(
            f"it used more than {gib:.1f} GiB of memory; --memory-limit sets the limit"
        )


def used_memory(pids: Iterable[int], kind: Literal["rss", "pss"] = "rss") -> int:
    """Return the resident memory of processes and of those that they started, in bytes.

    With ``pss``, pages that several processes share count once, where the system can tell.
    """
    import psutil

    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            for process in (psutil.Process(pid), *descendants(pid)):
                with contextlib.suppress(psutil.Error):
                    wanted = process.memory_full_info() if kind == "pss" else process.memory_info()
                    total += getattr(wanted, kind, wanted.rss)
    return total


def _size(folder: Path) -> int:
    """Return the size of the files in a folder in bytes, links and folders within left out."""
    size = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size
