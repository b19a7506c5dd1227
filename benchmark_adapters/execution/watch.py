"""Watch what the processes of a method use together: memory, processes and disk space."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark_adapters.execution.process_tree import ProcessTree, descendants

# Seconds between two looks.
INTERVAL = 0.25
MAX_PROCESSES = 2000


class BoundExceeded(Exception):
    """Raised if processes use more than they may; the message says what."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of what the processes of a method use together.

    Attributes:
        memory: bytes; None: three quarters of the machine's memory.
        written: bytes in the folder of batches; None: half of what is free on the disk.
        processes: number of processes and threads.
    """

    memory: int | None = None
    written: int | None = None
    processes: int = MAX_PROCESSES


class Watch:
    """A look at the processes of a tree now and then."""

    def __init__(self, tree: ProcessTree, folder: Path, bounds: Bounds) -> None:
        import psutil

        self._tree, self._folder, self._next = tree, folder, 0.0
        self._memory = bounds.memory or psutil.virtual_memory().total * 3 // 4
        self._written = bounds.written or shutil.disk_usage(folder).free // 2
        self._processes = bounds.processes

    def look(self) -> None:
        """Compare what is used with the bounds, unless the last look was a moment ago.

        Raises:
            BoundExceeded: it is more.
        """
        if time.monotonic() < self._next:
            return
        pids = [process.pid for process in self._tree.processes]
        if sum(len(descendants(pid)) for pid in pids) > self._processes:
            raise BoundExceeded(f"it started more than {self._processes:,} processes")
        # A count of shared pages once is costly.
        if used_memory(pids) > self._memory and used_memory(pids, "pss") > self._memory:
            raise BoundExceeded(
                f"it used more than {self._memory / 2**30:.1f} GiB of memory; --memory-limit sets "
                "the limit"
            )
        if _size(self._folder) > self._written:
            raise BoundExceeded(f"it wrote more than {self._written / 2**30:.1f} GiB")
        self._next = time.monotonic() + INTERVAL


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
