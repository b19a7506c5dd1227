"""Limits for the process that decodes an untrusted set. They grow with the size of its files."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from benchmark_adapters.formats import safe_load

SECONDS, BYTES_PER_SECOND = 60, 4_000_000
# Slow file systems take as long for a small file as for one of this size.
SMALL_FILE = 2**14
# Libraries, and what they need besides the images. Each thread of theirs reserves a stack.
LIBRARIES, THREAD = 3 * 2**29, 2**24
# Images as they are stored, as float32, with channels first, sorted, and as bytes. Those of half
# precision take twice the memory as float32.
COPIES = 8


def seconds(path: Path) -> int:
    """Return the time limit for decoding a file or folder."""
    return SECONDS + math.ceil(_size(path, SMALL_FILE) / BYTES_PER_SECOND)


def memory(path: Path, image_bytes: int) -> int:
    """Return the bytes of private memory that decoding a file or folder may take.

    Pictures take ``image_bytes`` once they are decoded, however small their files.
    """
    threads = THREAD * (os.cpu_count() or 1)
    return LIBRARIES + threads + COPIES * _size(path, image_bytes)


def _size(path: Path, least: int) -> int:
    """Return the size of all files, each counted as at least ``least``; at most the largest set."""
    total = 0
    for size in _sizes(path):
        total += max(size, least)
        if total >= safe_load.MAX_BYTES:
            return safe_load.MAX_BYTES
    return total


def _sizes(path: Path) -> Iterator[int]:
    """Yield the sizes of plain files. Links are not followed."""
    if not path.is_dir():
        yield path.stat().st_size if path.is_file() else 0
        return
    for folder, _, names in os.walk(path):
        for name in names:
            facts = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(facts.st_mode):
                yield facts.st_size
