"""Go on with interrupted runs from Python."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ddbench.running import Progress, finished, installed_plugins, silent
from leaderboard.records.record import Record


def resume(
    run: str | PathLike[str] | None = None,
    runs: str | PathLike[str] = "runs",
    *,
    progress: Progress = silent,
) -> Record:
    """Go on with a run that was interrupted or killed, and return its record.

    Images and finished seeds are kept. The time limit covers all sessions together.

    Args:
        run: the beginning of a run ID, or a folder; None: the newest run that can be resumed.
        runs: folder of the saved runs.
        progress: called with (phase, done, total).

    Raises:
        UserError: there is no such run, or rules, code, data or the machine have changed.
        RunFailed: the status is not ``ok``.
    """
    from benchmark_adapters.runs import resume as resuming

    (chosen, *_) = resuming.find(None if run is None else str(run), Path(runs))
    return finished(lambda: resuming.resume(chosen, installed_plugins()), progress)
