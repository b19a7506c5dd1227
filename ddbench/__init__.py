"""Generate, check, score and load distilled sets from Python.

The functions take the words of the command line. Where a command ends with an exit code, they raise
an exception. They print nothing: ``progress`` is called with (phase, done, total) instead, and a
total of None is unknown.
"""

from benchmark_adapters.types import UserError as UserError
from ddbench.board import leaderboard as leaderboard
from ddbench.board import runs as runs
from ddbench.errors import RunFailed as RunFailed
from ddbench.loading import LoadedSet as LoadedSet
from ddbench.loading import load as load
from ddbench.running import Progress as Progress
from ddbench.running import check as check
from ddbench.running import run as run
from ddbench.running import score as score
from leaderboard.analysis.ranking import Row as Row
from leaderboard.records.record import Record as Record

__all__ = [
    "LoadedSet",
    "Progress",
    "Record",
    "Row",
    "RunFailed",
    "UserError",
    "check",
    "leaderboard",
    "load",
    "run",
    "runs",
    "score",
]
