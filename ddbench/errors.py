"""The exception for runs without a whole, scored set."""

from __future__ import annotations

from leaderboard.records.record import Record


class RunFailed(Exception):
    """Raised if a run ended with another status than ``ok``. What it made is saved.

    Attributes:
        record: the record of the run, which says why.
    """

    def __init__(self, record: Record) -> None:
        super().__init__(f"status {record.status}: {record.message}")
        self.record = record

    def __reduce__(self) -> tuple[type[RunFailed], tuple[Record]]:
        """Pickle the record, from which the message is made."""
        return RunFailed, (self.record,)
