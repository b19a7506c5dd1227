"""Bounded reads, locks, and files and folders that appear only once they are complete.

What is written here survives a power cut, because it reaches the disk before it gets its name.
Until then it is in a hidden scratch folder next to its place, ``.ddbench-<8 hex digits>-<name>``,
which its process locks. So what a killed process left behind can be told from what is being
written.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Opening a pipe must not wait for a writer, and a terminal must not become this process's own.
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY

SCRATCH = re.compile(r"\.ddbench-[0-9a-f]{8}-")
# A file name has at most 255 bytes.
MAX_NAME_BYTES = 200
ABANDONED_AFTER = 3600.0  # seconds


def open_regular(path: Path, follows_links: bool = True) -> BinaryIO:
    """Open a regular file that may be untrusted, for reading.

    The open file is asked for its kind, since another file may take its place at any time.

    Raises:
        OSError: the file can't be opened, or it is a link and ``follows_links`` is False.
        ValueError: it is not a regular file, but for example a pipe, which may never end.
    """
    descriptor = os.open(path, OPEN_FLAGS | (0 if follows_links else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file")
    return open(descriptor, "rb")


def read_bounded(path: Path, most: int, follows_links: bool = True) -> bytes:
    """Return the content of a file that may be untrusted.

    Raises:
        OSError: as in `open_regular`, or the file can't be read.
        ValueError: as in `open_regular`, or the file has more than ``most`` bytes.
    """
    with open_regular(path, follows_links) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most / 2**20:.0f} MiB")
    return data


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path of the same name, which replaces ``path`` if the block succeeds.

    If the block raises, the temporary file is deleted and ``path`` is left unchanged. Missing
    parent folders are created.

    Raises:
        OSError: the folder can't be written to, or the block wrote no file.
    """
    with scratch_for(path) as folder:
        temporary = folder / path.name
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that is moved to ``path`` if the block succeeds, and deleted if it raises.

    Missing parent folders are created.

    Raises:
        FileExistsError: ``path`` is a file or a folder that is not empty.
        OSError: the folder can't be written to.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not empty: choose a new folder")
    with scratch_for(path) as scratch:
        folder = scratch / "new"
        folder.mkdir()
        yield folder
        sync_tree(folder)
        # An empty folder at ``path`` is replaced.
        os.replace(folder, path)
        sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that replaces the one at ``path`` if the block succeeds.

    If the block raises, the new folder is deleted and ``path`` is left unchanged. Missing parent
    folders are created.

    Raises:
        OSError: the folder can't be written to.
    """
    with scratch_for(path) as scratch:
        new, old = scratch / "new", scratch / "old"
        new.mkdir()
        yield new
        sync_tree(new)
        if not (path.exists() and _exchanged(new, path)):
            _replace(path, old, new)
        sync(path.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Swap two folders in one step, and return whether the system could do it."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    # The numbers mean: relative to the working directory, and exchange.
    code: int = renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2)
    return code == 0


def _replace(path: Path, old: Path, new: Path) -> None:
    """Move ``path`` to ``old`` and ``new`` to ``path``, in two steps."""
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise


@contextmanager
def scratch_for(path: Path) -> Iterator[Path]:
    """Yield an empty, locked scratch folder next to ``path``, which is deleted after the block.

    Those that killed processes left there are deleted if they are at least an hour old.

    Raises:
        OSError: it can't be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_name(path)
    for other in listed(path.parent):
        if SCRATCH.match(other.name):
            remove_if_abandoned(other)
    scratch.mkdir()
    try:
        with locked(scratch, waits=True):
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def remove_if_abandoned(folder: Path) -> None:
    """Delete a folder unless a process has locked it, or it is less than an hour old.

    A younger folder may belong to a process that has not locked it yet.
    """
    # Another process may delete it first.
    with contextlib.suppress(OSError):
        if time.time() - folder.stat().st_mtime >= ABANDONED_AFTER:
            with locked(folder) as is_locked:
                if is_locked:
                    shutil.rmtree(folder, ignore_errors=True)


def listed(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name; empty: it is gone, or can't be read.

    Unlike `Path.glob`, it bears that another process renames or deletes the folder meanwhile.
    """
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []


def holds(folder: Path, suffix: str) -> bool:
    """Return whether a file of that suffix is in a folder, or below it; False: it is gone."""
    return any(name.endswith(suffix) for _, _, names in os.walk(folder) for name in names)


def scratch_name(path: Path) -> Path:
    """Return an unused name of a scratch folder next to ``path``."""
    name = os.fsencode(path.name)[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    return path.with_name(f".ddbench-{secrets.token_hex(4)}-{name}")


@contextmanager
def locked(folder: Path, waits: bool = False) -> Iterator[bool]:
    """Lock ``folder`` until the block finishes or the process exits for any reason.

    Yields False if the file system does not support locks, or if another process holds the lock.
    With ``waits``, that one is waited for. So the owner of a folder gets its lock, even while
    others look whether there is an owner.

    Raises:
        OSError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        is_locked = True
    except OSError:
        is_locked = False
    try:
        yield is_locked
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk.

    Raises:
        OSError: it can't be written.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems can't sync folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all that it holds is on the disk. Links are not followed.

    Raises:
        OSError: it can't be written.
    """
    for parent, _, names in os.walk(folder, topdown=False):
        for path in (Path(parent, name) for name in names):
            # Opening a pipe would wait for its other end.
            if stat.S_ISREG(path.lstat().st_mode):
                sync(path)
        sync(Path(parent))


def size(folder: Path) -> int:
    """Return the size of all files in a folder, in bytes; those that can't be read don't count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total
