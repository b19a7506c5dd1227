"""An index of a runs folder: an extract of each record, so that unchanged files aren't read.

The index is never the truth. An extract counts only if its file is the same by inode, size and
times, and if this version of the code has made it. Whatever happens to the index, such as a lock, a
full disk or damage, costs only time, and it is made again from the records.

It is in the user's cache and not in the runs folder, because runs folders come from strangers: an
index in one of theirs could hold invented scores with the times of its files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec
import platformdirs

import leaderboard
from leaderboard.records import store
from leaderboard.records.folders import Folders

# Seconds to wait for another process.
PATIENCE = 1.0
# Seconds after which a change of a file is sure to change its times.
SETTLED = 2.0
# More parameters than that are too many for a statement.
MOST = 500
TABLE = "run (folder BLOB PRIMARY KEY, file BLOB, extract BLOB, digest BLOB)"
# Errors that say nothing about the content of the database.
PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
}


class Index:
    """The index of one runs folder. What fails leaves it as if it were empty."""

    def __init__(self, root: Path, connection: sqlite3.Connection, path: Path) -> None:
        """Use a database in the file ``path`` that has the table."""
        self.root = root
        self.connection = connection
        self.path = path
        self.can_read = self.can_write = True

    def look_up(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the extracts of runs whose files have not changed.

        ``files`` has the folders of at most `MOST` runs, each with the `identity` of its file.
        """
        found: dict[str, bytes] = {}
        if self.can_read:
            keys = {self._key(folder): folder for folder, file in files.items() if file}
            query = f"SELECT * FROM run WHERE folder IN ({','.join('?' * len(keys))})"
            with self._noticed():
                for key, file, extract, digest in self.connection.execute(query, list(keys)):
                    if file == files[keys[key]] and digest == _digest(key, file, extract):
                        found[keys[key]] = extract
        return found

    def add(self, files: Mapping[str, bytes], extracts: Mapping[str, bytes]) -> None:
        """Add extracts of runs. ``files`` has the identities from before the files were read."""
        if not self.can_write:
            return
        rows = [
            (self._key(folder), files[folder], extract)
            for folder, extract in extracts.items()
            # A file that has changed meanwhile is read again next time.
            if files[folder] and identity(folder) == files[folder]
        ]
        if rows:
            with self._noticed(), self.connection:
                self.connection.executemany(
                    "REPLACE INTO run VALUES (?, ?, ?, ?)", [(*row, _digest(*row)) for row in rows]
                )

    def keep_only(self, folders: Folders) -> None:
        """Remove all other runs."""
        if not self.can_write:
            return
        with self._noticed(), self.connection:
            (count,) = self.connection.execute("SELECT count(*) FROM run").fetchone()
            if count > len(folders):
                rows = self.connection.execute("SELECT folder FROM run")
                gone = [row for row in rows if self._folder(row[0]) not in folders]
                self.connection.executemany("DELETE FROM run WHERE folder = ?", gone)

    def _key(self, folder: str) -> bytes:
        return os.fsencode(folder.removeprefix(str(self.root)).lstrip("/"))

    def _folder(self, key: bytes) -> str:
        return str(self.root / os.fsdecode(key))

    @contextlib.contextmanager
    def _noticed(self) -> Iterator[None]:
        """Suppress errors. A damaged database is deleted, and the next process makes a new one."""
        try:
            yield
        except (sqlite3.Error, TypeError, ValueError) as error:
            self.can_write = False
            if not _is_passing(error):
                self.can_read = False
                with contextlib.suppress(OSError):
                    self.path.unlink()


@contextlib.contextmanager
def opened(root: Path) -> Iterator[Index | None]:
    """Yield the index of a runs folder, which is made if it is missing; None: it can't be used."""
    try:
        path = _path(root)
        try:
            connection = _connected(path)
        except sqlite3.Error as error:
            if _is_passing(error):
                raise
            path.unlink()
            connection = _connected(path)
    except (sqlite3.Error, OSError):
        yield None
        return
    with contextlib.closing(connection):
        yield Index(root, connection, path)


def _path(root: Path) -> Path:
    """Return the file of the index of a runs folder.

    Raises:
        OSError: its folder can't be made, or others can write there.
    """
    folder = Path(platformdirs.user_cache_dir("ddbench")) / "records"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = folder.stat()
    if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"others can write in {folder}")
    return folder / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.sqlite"


def _connected(path: Path) -> sqlite3.Connection:
    """Open a database, and make its table if it is new.

    Raises:
        sqlite3.Error: it can't be opened, or another version of this code made it.
    """
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level="IMMEDIATE")
    try:
        # After a power cut, the index may be damaged, which is noticed. A journal in a file could
        # outlive its index and be taken for that of the next one.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")
                connection.execute(f"PRAGMA user_version = {_version()}")
        elif version != _version():
            raise sqlite3.DatabaseError("made by another version")
    except BaseException:
        connection.close()
        raise
    return connection


@cache
def _version() -> int:
    """Return a number that changes with the code that makes extracts."""
    code = sorted(Path(leaderboard.__file__).parent.rglob("*.py"))
    parts = [msgspec.__version__.encode(), *(file.read_bytes() for file in code)]
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:4]) >> 1


def _digest(folder: bytes, file: bytes, extract: bytes) -> bytes:
    """Return a hash of a row, which tells a damaged one."""
    head = b"%d %d " % (len(folder), len(file))
    return hashlib.blake2b(head + folder + file + extract, digest_size=8).digest()


def identity(folder: str) -> bytes:
    """Return what changes whenever the record in a folder is changed or replaced.

    It is empty if that can't be said: there is no record, or it changed a moment ago, and the next
    change may leave its times as they are, because clocks of file systems are coarse.
    """
    try:
        about = os.stat(f"{folder}/{store.RECORD}")
    except OSError:
        return b""
    if time.time() - about.st_ctime < SETTLED:
        return b""
    return b"%d %d %d %d" % (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _is_passing(error: Exception) -> bool:
    """Return whether an error says nothing about the content of the database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in PASSING
