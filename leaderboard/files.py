"""Files that are read within bounds, and files and folders that appear only when they are whole."""

from __future__ import annotations

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
        ValueError: it is not an ordinary file, for example a pipe, which may never end;
            or it has more than ``most`` bytes.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not an ordinary file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most / 2**20:.0f} MiB")
    return data


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends well.

    When the block raises, the temporary file is removed and ``path`` stays as it was. The
    temporary name has the suffix of ``path``. Missing parent folders are made.

    Raises:
        OSError: the folder can't be written, or the block wrote no file.
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
    """Yield a hidden scratch folder that becomes ``path`` when the block ends well.

    When the block raises, the scratch folder is removed. Missing parent folders are made.

    Raises:
        FileExistsError: ``path`` is a file or a folder that is not empty.
        OSError: the folder can't be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not empty; nothing is overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _hidden(path)
    scratch.mkdir()
    try:
        yield scratch
        os.replace(scratch, path)  # replaces an empty folder
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _hidden(path: Path) -> Path:
    """Return an unused hidden name in the same folder, with the same suffix."""
    return path.with_name(f".{secrets.token_hex(4)}-{path.name}")
