"""Public import path of `Record`, the record of a run."""

from leaderboard.records.record import Record as Record
