"""Judge how many devices made a set, from what its record says about each shard."""

from __future__ import annotations

from leaderboard.records.record import Reason, Record, ShardOrigin
from leaderboard.text import plural


def deviation(record: Record, allowed: int) -> Reason | None:
    """Return why a set breaks the rules of a track that allows so many devices; None: it doesn't.

    A track of one device takes any one machine, whatever is in it, and no merged set.
    """
    shards = record.origin.shards
    is_merged = record.origin.kind == "shards" or bool(shards)
    if is_merged and allowed == 1:
        parts = f"{len(shards)} {plural(len(shards), 'shard')}"
        return Reason("merged", f"merged from {parts}, each with its own time limit")
    if is_merged and not (shards and all(map(is_described, shards))):
        return Reason("merged", "merged from shards whose times are not in the record")
    count = record.devices
    if allowed > 1 and count is not None and count > allowed:
        return Reason("devices", f"{count} devices instead of {allowed}")
    return None


def is_described(one: ShardOrigin) -> bool:
    """Return whether a record says enough about a shard to judge it; old ones don't."""
    return one.shard is not None and None not in (one.seconds.limit, one.seconds.sampling)
