"""Find runs that the user names, and read their records."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

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
