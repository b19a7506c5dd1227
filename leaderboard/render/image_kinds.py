"""What the images of a set are, in words."""

from __future__ import annotations

from leaderboard.records.record import Record
from leaderboard.text import one_line

# What copies of training images are called.
REAL = "real"


def kind(record: Record) -> str:
    """Return how the images were made, and the share of copies of training images among them."""
    made, copied = _made(record), record.copies.of_training if record.copies else 0.0
    if not copied or made == REAL:
        return made
    share = REAL if copied == 1 else f"{_percent(copied)} {REAL}"
    return f"{made}, {share}" if made else share


def copied_from_test(record: Record) -> str:
    """Return the share of copies of test images, which someone should look at; "": none."""
    copied = record.copies.of_test if record.copies else 0.0
    return f"{_percent(copied)} copies of test images" if copied else ""


def real_data(record: Record) -> str:
    """Return whether training images were used. For a file, only copies of them can tell."""
    if record.copies and record.copies.of_training:
        return f"yes, {_percent(record.copies.of_training)} are copies of training images"
    if record.uses_real_data:
        return "yes"
    return "no" if record.limit_enforced else "not known"


def _made(record: Record) -> str:
    """Return how the images were made: as the method reported it, or else if it sampled them."""
    reported = record.metadata.get("images")
    if isinstance(reported, str):
        return one_line(reported)
    if record.model is None or not record.generated_per_class:
        return ""
    return "sampled" if record.generated_per_class == record.ipc else "sampled and augmented"


def _percent(share: float) -> str:
    """Return a share above 0 in per cent, at least 1."""
    return f"{max(1, round(100 * share))} %"
