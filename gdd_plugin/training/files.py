"""Write the files of a training run atomically, and report errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark_adapters import files
from benchmark_adapters.types import UserError, one_line


@contextmanager
def reporting_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing ``path``, such as a full disk, into a `UserError`.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"could not write {path}: {error.strerror}; files that were saved earlier are kept; "
            "fix the problem and rerun the same command to continue"
        ) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` at the end of the block.

    If the disk is full or the process is killed, the file is left as it was.

    Raises:
        UserError: the file cannot be written.
    """
    with reporting_errors(path), files.replacing(path) as temporary:
        yield temporary


@contextmanager
def reporting_library_errors(folder: Path) -> Iterator[None]:
    """Turn any error into a `UserError`, for libraries that raise other errors on a full disk.

    Raises:
        UserError: the library cannot write to ``folder``.
    """
    try:
        yield
    except Exception as error:
        raise UserError(
            f"could not write to {folder}: {one_line(error)}; "
            "fix the problem and rerun the same command to continue"
        ) from None
