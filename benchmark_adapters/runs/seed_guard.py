"""Keep methods and readers of files from forging the results of seeds."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from benchmark_adapters.files import listed, read_bounded
from benchmark_adapters.runs import unfinished
from benchmark_adapters.scoring import seed_cache
from benchmark_adapters.types import Notice
from leaderboard.text import plural


@contextlib.contextmanager
def guarded(runs: Path) -> Iterator[None]:
    """Delete the results of seeds that appear or change during the block.

    What runs in it could have written them. Those of other runs at the same time are lost too:
    these train the seeds again if they are resumed.
    """
    before = _digests(runs)
    try:
        yield
    finally:
        changed = [path for path, digest in _digests(runs).items() if before.get(path) != digest]
        for path in changed:
            path.unlink(missing_ok=True)
        if changed:
            count = f"{len(changed)} {plural(len(changed), 'result')} of seeds"
            text = f"{count} in {runs / unfinished.FOLDER} changed meanwhile and can't be trusted"
            warnings.warn(f"{text}: deleted", Notice, stacklevel=3)


def _digests(runs: Path) -> dict[Path, str]:
    """Return the hash of each result of a seed in the runs folder. Links are not followed."""
    works = [work for work in listed(runs / unfinished.FOLDER) if not work.is_symlink()]
    folders = [work / unfinished.SEEDS for work in works]
    paths = [path for one in folders if not one.is_symlink() for path in listed(one)]
    return {path: _digest(path) for path in paths if path.is_symlink() or not path.is_dir()}


def _digest(path: Path) -> str:
    """Return the hash of a file that can be the result of a seed; empty: it can't."""
    with contextlib.suppress(OSError, ValueError):
        if not path.is_symlink():
            return hashlib.sha256(read_bounded(path, seed_cache.MAX_BYTES)).hexdigest()
    return ""
