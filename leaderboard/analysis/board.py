"""The standings of all runs, in a database that answers what concerns several of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import structs

from leaderboard.analysis import standing
from leaderboard.analysis.standing import Standing
from leaderboard.records.folders import key
from leaderboard.records.record import Record
from leaderboard.records.temporary import TemporaryDatabase

# Returns the record of a run; None: it has gone.
Read = Callable[[Standing], Record | None]
COLUMNS = (
    *("folder", "name", "root", "track", "dataset", "category", "created", "run_id", "shard"),
    *("shards", "comparable", "limit_enforced", "accuracy_mean", "accuracies", "maker", "result"),
    *("entry", "rules", "demands_sha256", "standing"),
)
# Of runs that are the same result, the first counts.
PREFERRED = "NOT comparable, NOT limit_enforced, created, run_id, name, folder"
# The runs that count, the best first within a track and table. Shards do not count beside the set
# that they were merged into.
COUNTING = f"""
CREATE TABLE counting AS
SELECT
    row_number() OVER (
        ORDER BY track, dataset, NOT limit_enforced, category, ifnull(accuracy_mean, -1) DESC,
            created, {PREFERRED}
    ) AS place,
    track, category, created, limit_enforced, entry, folder, standing
FROM run
WHERE rowid IN (
    SELECT run FROM (
        SELECT rowid AS run,
            row_number() OVER (PARTITION BY maker, result ORDER BY {PREFERRED}) AS copy
        FROM run
        WHERE shard IS NULL OR (track, run_id) NOT IN (
            SELECT track, value FROM run, json_each(shards) WHERE shards IS NOT NULL
        )
    ) WHERE copy = 1
)"""
# The runs that count of each entry, oldest first. So are the entries, within their group.
BY_ENTRY = """
SELECT folder, standing FROM (
    SELECT *, row_number() OVER (ORDER BY created, place) AS age FROM counting WHERE track = ?
) ORDER BY limit_enforced DESC, category, min(age) OVER (PARTITION BY entry), age"""
DISPUTED = f"""
SELECT folder, standing FROM (
    SELECT *, row_number() OVER (ORDER BY {PREFERRED}) AS preferred FROM run WHERE result IN (
        SELECT result FROM run GROUP BY result HAVING min(accuracies) < max(accuracies)
    )
) ORDER BY min(preferred) OVER (PARTITION BY result), preferred"""


class Board(TemporaryDatabase):
    """The standings of any number of runs. It must be closed."""

    def __init__(self) -> None:
        """Begin without runs."""
        super().__init__(f"run ({', '.join(COLUMNS)}, PRIMARY KEY (name, folder))")

    def add(self, runs: Iterable[Standing], root: Path | None = None) -> None:
        """Add runs of a runs folder."""
        statement = f"REPLACE INTO run VALUES ({', '.join(f':{name}' for name in COLUMNS)})"
        self.connection.executemany(statement, (_row(run, root) for run in runs))

    def remove(self, folders: Iterable[str]) -> None:
        """Remove the runs in some folders."""
        statement = "DELETE FROM run WHERE name = ? AND folder = ?"
        self.connection.executemany(statement, map(key, folders))

    def settle(self) -> None:
        """Decide which of the runs count, and their order. It must be called once all are there."""
        self.connection.execute(COUNTING)
        self.connection.execute("CREATE UNIQUE INDEX place ON counting (track, place)")

    def __iter__(self) -> Iterator[Standing]:
        """Yield all runs, oldest first."""
        return self._select("SELECT folder, standing FROM run ORDER BY name, folder")

    def ordered(self, track: str) -> Iterator[Standing]:
        """Yield the runs of a track that count, best first within a table.

        Runs of a method or team with the same images, recipe, student and seeds count once: the
        oldest comparable one. Those of different ones all count. Shards do not count beside the set
        that they were merged into.
        """
        query = "SELECT folder, standing FROM counting WHERE track = ? ORDER BY place"
        return self._select(query, track)

    def by_entry(self, track: str) -> Iterator[Standing]:
        """Yield the runs of a track that count, by entry and oldest first, for each group."""
        return self._select(BY_ENTRY, track)

    def disputed(self) -> Iterator[Standing]:
        """Yield the runs that share a `Standing.result` with others of different accuracies.

        Those that share one follow each other, the one that counts first.
        """
        return self._select(DISPUTED)

    def by_rules(self) -> Iterator[Standing]:
        """Yield a run for each track and the rules in its records."""
        return self._select("SELECT folder, standing FROM run GROUP BY track, rules")

    def outdated(self, root: Path, hashes: Mapping[str, str]) -> Iterator[str]:
        """Yield the folders of runs that were judged by other demands than those of their track."""
        query = "SELECT folder, track, demands_sha256 FROM run WHERE root = ?"
        for folder, track, sha256 in self.connection.execute(query, (os.fsencode(root),)):
            if sha256 != hashes.get(track, ""):
                yield os.fsdecode(folder)

    def tracks(self) -> list[str]:
        """Return the names of the tracks that have runs."""
        query = "SELECT DISTINCT track FROM run ORDER BY track"
        return [track for (track,) in self.connection.execute(query)]

    def _select(self, query: str, *values: str) -> Iterator[Standing]:
        for folder, packed in self.connection.execute(query, values):
            run = standing.unpack(packed)
            run.folder = os.fsdecode(folder)
            yield run


@contextlib.contextmanager
def held(records: Iterable[Record]) -> Iterator[tuple[Board, Read]]:
    """Yield the board of judged records in memory, and what returns the record of a run."""
    by_folder = {f"{number:09}": record for number, record in enumerate(records)}
    with Board() as board:
        board.add(standing.of(record, folder=folder) for folder, record in by_folder.items())
        board.settle()
        yield board, lambda run: by_folder[run.folder]


def _row(run: Standing, root: Path | None) -> dict[str, object]:
    """Return the values of `COLUMNS`."""
    name, folder = key(run.folder)
    derived = {
        "folder": folder,
        "name": name,
        "root": os.fsencode(root or ""),
        "shards": msgspec.json.encode(run.shards).decode() if run.shards else None,
        "accuracies": msgspec.msgpack.encode(run.accuracies),
        "result": _digest(run.result),
        "entry": _digest(run.entry),
        "rules": msgspec.json.encode(run.rules) if run.rules else None,
        # A folder may have a name that is no text.
        "standing": standing.pack(structs.replace(run, folder="")),
    }
    return {name: getattr(run, name) for name in COLUMNS if name not in derived} | derived


def _digest(values: Hashable) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(values), digest_size=16).digest()
