"""The folders of runs in the order of the runs, of which there may be too many for memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from leaderboard.records.temporary import TemporaryDatabase


class Folders(TemporaryDatabase):
    """The folders of runs as texts, each once, oldest first. It must be closed."""

    def __init__(self) -> None:
        """Begin without folders."""
        super().__init__("folder (name BLOB, path BLOB, PRIMARY KEY (name, path)) WITHOUT ROWID")

    def add(self, folders: Iterable[str]) -> None:
        """Add folders in any order."""
        statement = "INSERT OR IGNORE INTO folder VALUES (?, ?)"
        self.connection.executemany(statement, map(key, folders))

    def __len__(self) -> int:
        """Return the number of folders."""
        (count,) = self.connection.execute("SELECT count(*) FROM folder").fetchone()
        return int(count)

    def __contains__(self, folder: str) -> bool:
        """Return whether a folder is one of them."""
        query = "SELECT 1 FROM folder WHERE name = ? AND path = ?"
        return self.connection.execute(query, key(folder)).fetchone() is not None

    def __iter__(self) -> Iterator[str]:
        """Yield the folders, oldest first."""
        return self._ordered("name, path")

    def __reversed__(self) -> Iterator[str]:
        """Yield the folders, newest first."""
        return self._ordered("name DESC, path DESC")

    def _ordered(self, order: str) -> Iterator[str]:
        for (path,) in self.connection.execute(f"SELECT path FROM folder ORDER BY {order}"):
            yield os.fsdecode(path)


def key(folder: str) -> tuple[bytes, bytes]:
    """Return name and path of a run's folder, by which runs are ordered from old to new."""
    path = os.fsencode(folder)
    return os.path.basename(path), path
