"""DD-Ranking's metrics: how much of a distilled set's worth is left without the tricks of its evaluation (Li et al., 2025).

Accuracies are fractions throughout. ARS is .27 where a set is as good as random real images; LRS is .27 where a set gains as
much over those as it lacks beside the whole training set.
"""

from __future__ import annotations

from math import e, exp

from leaderboard.records.record import Record


def lrs(
    real_hard: float, syn_hard: float, syn_any: float, random_any: float, w: float = 0.5
) -> float:
    """Label robust score.

    ``w * IOR - (1 - w) * HLR``, mapped from [-1, 1] to [0, 1] by `_share`, with hard label recovery HLR = ``real_hard`` - ``syn_hard``
    and improvement over random IOR = ``syn_any`` - ``random_any``. "any" is the set's own kind of evaluation.
    """
    return _share(w * (syn_any - random_any) - (1 - w) * (real_hard - syn_hard))


def ars(
    syn_augmented: float,
    random_augmented: float,
    syn_plain: float,
    random_plain: float,
    g: float = 0.5,
) -> float:
    """Augmentation robust score: ``g`` times the improvement over random with augmentation and ``1 - g`` times that without, mapped by `_share`."""
    return _share(g * (syn_augmented - random_augmented) + (1 - g) * (syn_plain - random_plain))


def _share(a: float) -> float:
    """(e^a - e^-1) / (e - e^-1)."""
    return (exp(a) - exp(-1)) / (e - exp(-1))


SAME = ("dataset", "student", "ipc", "recipe_sha256")
BASELINE = "random-real"


def accuracy(record: Record, beside: Record, what: str, other: str | None = None) -> float:
    """The mean accuracy of ``record``, which stands for ``what`` in a comparison with the run ``beside``; only its ``other`` may differ.

    Raises:
        ValueError: it has no score, or another dataset, student, IPC or recipe.
    """
    if record.accuracy_mean is None or record.status != "ok":
        raise ValueError(f"{what} {record.run_id} has no score")
    differing = [
        name for name in SAME if name != other and getattr(record, name) != getattr(beside, name)
    ]
    if differing:
        raise ValueError(
            f"{what} {record.run_id} can't be compared with {beside.run_id}: {', '.join(differing)} differ"
        )
    return record.accuracy_mean


def baseline(record: Record, beside: Record, what: str, other: str | None = None) -> float:
    """As `accuracy`, of real images drawn at random.

    Raises:
        ValueError: the run is of another method.
    """
    if record.method != BASELINE:
        raise ValueError(
            f"{what} {record.run_id} is of {record.method}, expected a run of {BASELINE}"
        )
    return accuracy(record, beside, what, other)
