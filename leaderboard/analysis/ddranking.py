"""DD-Ranking's metrics, which separate the quality of a distilled set from its evaluation tricks.

Source: Li et al., DD-Ranking, 2025. All accuracies are fractions. ARS is 0.27 if a set is as good
as random real images. LRS is 0.27 if a set's gain over random real images equals its gap to the
whole training set.
"""

from __future__ import annotations

from math import e, exp

from leaderboard.records.record import Record

EQUAL_FIELDS = ("dataset", "student", "ipc", "recipe_sha256")
BASELINE = "random-real"


def lrs(
    real_hard: float, syn_hard: float, syn_any: float, random_any: float, w: float = 0.5
) -> float:
    """Return the label robust score (LRS).

    It is ``w * IOR - (1 - w) * HLR``, mapped from [-1, 1] to [0, 1] by `_unit_interval`.

    Args:
        real_hard: accuracy with the whole training set and hard labels.
        syn_hard: accuracy with the distilled set and hard labels. Hard label recovery (HLR) is
            ``real_hard - syn_hard``.
        syn_any: accuracy with the distilled set under its own evaluation.
        random_any: the same with random real images. Improvement over random (IOR) is
            ``syn_any - random_any``.
        w: weight of IOR.

    Returns:
        The score, in [0, 1].
    """
    return _unit_interval(w * (syn_any - random_any) - (1 - w) * (real_hard - syn_hard))


def ars(
    syn_augmented: float,
    random_augmented: float,
    syn_plain: float,
    random_plain: float,
    g: float = 0.5,
) -> float:
    """Return the augmentation robust score (ARS).

    Args:
        syn_augmented: accuracy with the distilled set and augmentation.
        random_augmented: the same with random real images.
        syn_plain: accuracy with the distilled set without augmentation.
        random_plain: the same with random real images.
        g: weight of the improvement over random with augmentation.

    Returns:
        The score, in [0, 1].
    """
    gain_augmented, gain_plain = syn_augmented - random_augmented, syn_plain - random_plain
    return _unit_interval(g * gain_augmented + (1 - g) * gain_plain)


def _unit_interval(a: float) -> float:
    """Return (e^a - e^-1) / (e - e^-1)."""
    return (exp(a) - exp(-1)) / (e - exp(-1))


def accuracy(record: Record, reference: Record, role: str, other: str | None = None) -> float:
    """Return the mean accuracy of ``record``, which must be comparable with ``reference``.

    Args:
        record: the run.
        reference: the run that it is compared with.
        role: role of ``record`` in the comparison, for messages.
        other: the only one of `EQUAL_FIELDS` that may differ.

    Raises:
        ValueError: the run has no score, or its dataset, student, IPC or recipe differs.
    """
    if record.accuracy_mean is None or record.status != "ok":
        raise ValueError(f"{role} {record.run_id} has no score")
    differing = [
        name
        for name in EQUAL_FIELDS
        if name != other and getattr(record, name) != getattr(reference, name)
    ]
    if differing:
        raise ValueError(
            f"{role} {record.run_id} can't be compared with {reference.run_id}: "
            f"different {', '.join(differing)}"
        )
    return record.accuracy_mean


def baseline(record: Record, reference: Record, role: str, other: str | None = None) -> float:
    """Return what `accuracy` returns, for a run of random real images.

    Raises:
        ValueError: the run used another method, or `accuracy` refuses it.
    """
    if record.method != BASELINE:
        raise ValueError(
            f"{role} {record.run_id} is a run of {record.method}: choose a run of {BASELINE}"
        )
    return accuracy(record, reference, role, other)
