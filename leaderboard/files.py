"""Bounded reads, locks, and files and folders that appear only once they are complete."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a file that may be untrusted.

    Raises:
        OSError: the file can't be read.
        ValueError: the path is not a regular file (a pipe may never end), or the file has more
            than ``most`` bytes.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not a regular file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most / 2**20:.0f} MiB")
    return data


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, which replaces ``path`` if the block succeeds.

    If the block raises, the temporary file is deleted and ``path`` is left unchanged. The
    temporary name has the same suffix as ``path``. Missing parent folders are created.

    Raises:
        OSError: the folder can't be written to, or the block wrote no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden scratch folder, which is renamed to ``path`` if the block succeeds.

    If the block raises, the scratch folder is deleted. Missing parent folders are created.

    Raises:
        FileExistsError: ``path`` is a file or a folder that is not empty.
        OSError: the folder can't be written to.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not empty: choose a new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _hidden(path)
    scratch.mkdir()
    try:
        yield scratch
        # An empty folder at ``path`` is replaced.
        os.replace(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Lock ``folder`` until the block finishes or the process exits for any reason.

    Yields False if another process holds the lock or the file system does not support locks.

    Raises:
        OSError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_locked = True
    except OSError:
        is_locked = False
    try:
        yield is_locked
    finally:
        os.close(descriptor)


def _hidden(path: Path) -> Path:
    """Return an unused hidden name in the same folder, with the same suffix."""
    return path.with_name(f".{secrets.token_hex(4)}-{path.name}")
