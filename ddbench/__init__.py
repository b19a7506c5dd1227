"""Generate, check, score and load distilled sets from Python.

The functions take the words of the command line. Where a command ends with an exit code, they raise
an exception, whose message names the options of the command. They print nothing: ``progress`` is
called with (phase, done, total) instead, and a total of None is unknown. If it raises an exception,
the run stops, what was made is saved, and the exception is raised again.
"""

from benchmark_adapters.runs.submissions import CheckResult as CheckResult
from benchmark_adapters.types import UserError as UserError
from ddbench.board import leaderboard as leaderboard
from ddbench.board import runs as runs
from ddbench.errors import RunFailed as RunFailed
from ddbench.loading import LoadedSet as LoadedSet
from ddbench.loading import load as load
from ddbench.resuming import resume as resume
from ddbench.running import Progress as Progress
from ddbench.running import check as check
from ddbench.running import run as run
from ddbench.running import score as score
from leaderboard.analysis.ranking import Row as Row
from leaderboard.records.record import Record as Record

__all__ = [
    "CheckResult",
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
