"""Find runs that the user names, read their records, and check their images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmark_adapters.formats import native
from benchmark_adapters.types import UserError
from leaderboard.records import store
from leaderboard.records.record import Record


def find_run(run: str, roots: Iterable[Path]) -> Path:
    """Return the folder of ``run``, which is a folder or the start of a run's id.

    Raises:
        UserError: no run or more than one run matches.
    """
    try:
        return store.find(run, roots)
    except ValueError as error:
        raise UserError(str(error)) from None


def read_record(folder: Path) -> Record:
    """Return the record in ``folder``.

    Raises:
        UserError: the record can't be read.
    """
    try:
        return store.read(folder)
    except ValueError as error:
        raise UserError(str(error)) from None


def damage(folder: Path, record: Record) -> str:
    """Return what is wrong with the images of the run in ``folder``, and what to do about it.

    The text is empty if they are those that the record describes. A record without a hash of
    images describes none.
    """
    if record.images_sha256 is None:
        return ""
    file = folder / native.IMAGES
    advice = f"restore it from a copy, or repeat the run with `ddbench rerun {record.run_id}`"
    try:
        found = native.read_arrays(folder).sha256
    except UserError as error:
        return f"{error}; {advice}"
    if found == record.images_sha256:
        return ""
    return (
        f"{file} is damaged: the sha256 of its images is {found[:12]}, "
        f"but {record.images_sha256[:12]} in the record; {advice}"
    )


def require_whole(folder: Path, record: Record) -> None:
    """Raise `UserError` unless the images of the run are those that its record describes."""
    if problem := damage(folder, record):
        raise UserError(problem)


def require_utf8(path: Path) -> None:
    """Raise `UserError` unless a path is UTF-8, like all that processes tell each other."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(f"{path.absolute()}: the path is not UTF-8; rename it") from None
