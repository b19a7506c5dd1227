"""The record of a run, under the path that scripts use."""

from leaderboard.records.record import Record as Record
