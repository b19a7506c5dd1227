"""Read runs that the user names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmark_adapters.types import UserError
from leaderboard.records import store
from leaderboard.records.record import Record


def find_run(run: str, roots: Iterable[Path]) -> Path:
    """Return the folder of ``run``, a folder or the beginning of a run's id.

    Raises:
        UserError: there is none, or more than one.
    """
    try:
        return store.find(run, roots)
    except ValueError as error:
        raise UserError(str(error)) from None


def read_record(folder: Path) -> Record:
    """Return the record in ``folder``.

    Raises:
        UserError: it can't be read.
    """
    try:
        return store.read(folder)
    except ValueError as error:
        raise UserError(str(error)) from None
