"""Files that a training writes: whole or not at all, and errors as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark_adapters import files
from benchmark_adapters.types import UserError, one_line


@contextmanager
def reporting_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, or another reason why ``path`` can't be written, into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} can't be written: {error.strerror}; what was saved before is kept: "
            "make room and run the same command to continue"
        ) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` at the end of the block.

    A full disk or a kill leaves the file as it was.

    Raises:
        UserError: the file can't be written.
    """
    with reporting_errors(path), files.replacing(path) as temporary:
        yield temporary


@contextmanager
def reporting_library_errors(folder: Path) -> Iterator[None]:
    """Do as `reporting_errors` for libraries that raise other errors on a full disk."""
    try:
        yield
    except Exception as error:
        raise UserError(
            f"{folder} can't be written: {one_line(error)}; "
            "make room and run the same command to continue"
        ) from None
