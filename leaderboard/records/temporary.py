"""A database for what may be too much for memory."""

from __future__ import annotations

import errno
import sqlite3
from types import TracebackType
from typing import Self


class TemporaryDatabase:
    """A private database that exists as long as it is open.

    SQLite keeps at most 2 MB of it in memory, and the rest in a file without a name.
    """

    def __init__(self, table: str) -> None:
        """Make a database with one table, in SQL."""
        self.connection = sqlite3.connect("")
        # Nobody needs it after a failure.
        self.connection.execute("PRAGMA journal_mode = OFF")
        self.connection.execute(f"CREATE TABLE {table}")

    def __enter__(self) -> Self:
        """Return the database."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete the database.

        Raises:
            OSError: there was no room for it.
        """
        self.connection.close()
        if isinstance(error, sqlite3.OperationalError):
            reason = f"{error}; set TMPDIR to a folder with more room"
            raise OSError(errno.ENOSPC, reason, "temporary file") from error
