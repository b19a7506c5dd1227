"""DD-Ranking's metrics: the worth of a distilled set without the tricks of its evaluation.

Source: Li et al., DD-Ranking, 2025. All accuracies are fractions. ARS is 0.27 where a set is as
good as random real images. LRS is 0.27 where a set gains as much over those as it lacks compared
with the whole training set.
"""

from __future__ import annotations

from math import e, exp

from leaderboard.records.record import Record

EQUAL_FIELDS = ("dataset", "student", "ipc", "recipe_sha256")
BASELINE = "random-real"


def lrs(
    real_hard: float, syn_hard: float, syn_any: float, random_any: float, w: float = 0.5
) -> float:
    """Return the label robust score, in [0, 1].

    ``w * IOR - (1 - w) * HLR``, mapped from [-1, 1] to [0, 1] by `_share`.

    Args:
        real_hard: accuracy with the whole training set and hard labels.
        syn_hard: accuracy with the distilled set and hard labels; hard label recovery HLR is
            ``real_hard - syn_hard``.
        syn_any: accuracy with the distilled set in its own kind of evaluation.
        random_any: the same with random real images; improvement over random IOR is
            ``syn_any - random_any``.
        w: weight of IOR.
    """
    return _share(w * (syn_any - random_any) - (1 - w) * (real_hard - syn_hard))


def ars(
    syn_augmented: float,
    random_augmented: float,
    syn_plain: float,
    random_plain: float,
    g: float = 0.5,
) -> float:
    """Return the augmentation robust score, in [0, 1].

    Args:
        syn_augmented: accuracy with the distilled set and augmentation.
        random_augmented: the same with random real images.
        syn_plain: accuracy with the distilled set without augmentation.
        random_plain: the same with random real images.
        g: weight of the improvement over random with augmentation.
    """
    return _share(g * (syn_augmented - random_augmented) + (1 - g) * (syn_plain - random_plain))


def _share(a: float) -> float:
    """Return (e^a - e^-1) / (e - e^-1)."""
    return (exp(a) - exp(-1)) / (e - exp(-1))


def accuracy(record: Record, reference: Record, role: str, other: str | None = None) -> float:
    """Return the mean accuracy of ``record``, after checking that it compares with ``reference``.

    Args:
        record: the run.
        reference: the run it is compared with.
        role: what ``record`` stands for, for messages.
        other: the only one of `EQUAL_FIELDS` that may differ.

    Raises:
        ValueError: the run has no score, or another dataset, student, IPC or recipe.
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
            f"{', '.join(differing)} differ"
        )
    return record.accuracy_mean


def baseline(record: Record, reference: Record, role: str, other: str | None = None) -> float:
    """Return what `accuracy` returns, for a run of random real images.

    Raises:
        ValueError: the run is of another method, or as `accuracy`.
    """
    if record.method != BASELINE:
        raise ValueError(
            f"{role} {record.run_id} is of {record.method}, expected a run of {BASELINE}"
        )
    return accuracy(record, reference, role, other)
