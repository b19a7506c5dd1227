"""Accuracy of each class, computed from a run's confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.records.record import Record


@dataclass(frozen=True)
class ClassAccuracy:
    """The result for one class over all seeds.

    Attributes:
        name: name of the class.
        accuracy: the fraction of its test images that were classified correctly.
        confused_with: the class that its other images were predicted as most often. None if there
            are no others.
        confusions: the number of these predictions.
    """

    name: str
    accuracy: float
    confused_with: str | None
    confusions: int


def accuracies(record: Record, names: Sequence[str]) -> list[ClassAccuracy]:
    """Return the accuracy of each class, or an empty list if the run was not scored.

    ``names`` are the names of the classes in label order.
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
