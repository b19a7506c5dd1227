"""Notice that the files which scoring imports changed while a method ran.

A method runs as the user, so it could change the code that scores its images. What is compared:
ddbench's own packages, those of plugins, and files that Python runs at its start. Libraries such as
torch are not. `benchmark_adapters.execution.isolation` prevents such changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmark_adapters.plugin_import import package_places

CODE = (".py", ".so", ".toml", ".json", ".safetensors")
# Compiled by Python from the files of packages. It trusts their date, which anyone can set.
COMPILED = ".pyc"
STARTED = ("*.pth", "sitecustomize.py", "usercustomize.py")

# The SHA-256 of each file.
Snapshot = dict[Path, str]


def snapshot() -> Snapshot:
    """Return the hashes of all files in question."""
    found: Snapshot = {}
    for path in _files():
        with contextlib.suppress(OSError):
            found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def changed(before: Snapshot) -> list[Path]:
    """Return the files that were added, changed or removed since a snapshot, sorted.

    Compiled files are deleted instead, and Python writes them again.
    """
    after = snapshot()
    differing = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    for path in differing:
        if path.suffix == COMPILED:
            path.unlink(missing_ok=True)
    return [path for path in differing if path.suffix != COMPILED]


def _files() -> Iterator[Path]:
    for place in package_places():
        for path in (place, *place.rglob("*")):
            if path.suffix in (*CODE, COMPILED) and path.is_file():
                yield path
    for folder in map(Path, filter(None, sys.path)):
        for pattern in STARTED:
            yield from folder.glob(pattern)
