"""The accuracy of each class of a run, out of its confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.records.record import Record


@dataclass(frozen=True)
class ClassAccuracy:
    """The result for one class over all seeds.

    Attributes:
        accuracy: the fraction of its test images that were recognised.
        confused_with: the class that the others were most often taken for; None: none were.
        confusions: how often they were.
    """

    name: str
    accuracy: float
    confused_with: str | None
    confusions: int


def accuracies(record: Record, names: Sequence[str]) -> list[ClassAccuracy]:
    """Return the accuracy of each class; empty where nothing was scored.

    Args:
        record: of the run.
        names: of its classes, in label order.
    """
    confusion = record.confusion or []
    return [_accuracy(label, counts, names) for label, counts in enumerate(confusion)]


def _accuracy(label: int, counts: Sequence[int], names: Sequence[str]) -> ClassAccuracy:
    others = ((count, other) for other, count in enumerate(counts) if other != label)
    most, other = max(others, default=(0, 0))
    return ClassAccuracy(
        name=names[label],
        accuracy=counts[label] / max(sum(counts), 1),
        confused_with=names[other] if most else None,
        confusions=most,
    )
