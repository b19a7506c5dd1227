"""Records and ranks of saved runs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from benchmark_adapters import track_demands, track_files
from ddbench.running import installed_plugins
from leaderboard.analysis import ranking, verdicts
from leaderboard.analysis.ranking import Row
from leaderboard.records import store
from leaderboard.records.record import Record

Folders = str | PathLike[str] | Sequence[str | PathLike[str]]


def runs(folders: Folders = "runs", track: str | PathLike[str] | None = None) -> list[Record]:
    """Return the records of all runs, oldest first. Warn about records that can't be read.

    Args:
        folders: one or more folders where runs are saved. A missing folder has no runs.
        track: only runs of this track, given by its name or file; None: all.

    Raises:
        UserError: there is no such track.
    """
    roots = [folders] if isinstance(folders, str | PathLike) else folders
    entries, problems = store.entries([Path(root) for root in roots])
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    records = [record for _, record in entries]
    if track is not None:
        known = {record.track for record in records}
        name = track_files.name_of(installed_plugins(), str(track), known)
        records = [record for record in records if record.track == name]
    return sorted(records, key=lambda record: (record.created, record.run_id))


def leaderboard(folders: Folders = "runs", track: str | PathLike[str] | None = None) -> list[Row]:
    """Return the rows of the leaderboard: each run that counts, best first, with its rank.

    Their records have the leaderboard's verdict: ``comparable`` and ``not_comparable_because``. The
    arguments are those of `runs`. The rules of a track from a file are those in ``track``, or else
    those on which all of its records agree.
    """
    records = runs(folders, track)
    named = None if track is None else str(track)
    demands = track_demands.known(installed_plugins(), records, named)
    return ranking.rows(verdicts.judged(records, demands))
