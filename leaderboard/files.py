"""Bounded reads, and files and folders that appear only once they are complete."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Opening a pipe must not wait for a writer, and a terminal must not become this process's own.
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


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


def _hidden(path: Path) -> Path:
    """Return an unused hidden name in the same folder, with the same suffix."""
    return path.with_name(f".{secrets.token_hex(4)}-{path.name}")
