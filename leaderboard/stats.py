"""Statistics of accuracies over evaluation seeds: means, intervals, tests and ranks."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

LEVEL = 0.05
# Means that differ by less than this are equal up to rounding.
EQUAL = 1e-9
# Quantiles of Student's t at this level, for infinitely many degrees of freedom and for one. A
# statistic below the first is never significant, and one above the second always is.
NEVER_BELOW, ALWAYS_ABOVE = 1.959, 12.71


def summary(values: Sequence[float]) -> tuple[float | None, float | None, list[float] | None]:
    """Return the mean, sample standard deviation (n - 1) and 95 % t interval of the mean.

    A statistic is None if there are too few ``values`` for it.
    """
    if not values:
        return None, None, None
    if len(values) == 1:
        return values[0], None, None
    # scipy.stats takes half a second to import.
    from scipy.special import stdtrit

    mean, spread = fmean(values), stdev(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * spread / len(values) ** 0.5
    return mean, spread, [mean - half, mean + half]


def clipped(interval: Sequence[float] | None) -> tuple[float, float] | None:
    """Return the interval of an accuracy, clipped to [0, 1]."""
    return (max(interval[0], 0.0), min(interval[1], 1.0)) if interval else None


@dataclass(frozen=True)
class Difference:
    """The difference between two means: the second minus the first.

    Attributes:
        mean: the difference itself.
        ci95: its 95 % interval, from Welch's t-test. None if there are too few values, or too
            little variation, for a test.
        p: p-value of Welch's t-test (two-sided). None in the same cases.
        paired: p-value of the paired t-test. None unless both sides have the same seeds.
    """

    mean: float
    ci95: list[float] | None = None
    p: float | None = None
    paired: float | None = None

    @property
    def is_significant(self) -> bool:
        """Return whether Welch's test finds a difference at the 5 % level."""
        return self.p is not None and self.p < LEVEL


def difference(
    first: Sequence[float], second: Sequence[float], same_seeds: bool = False
) -> Difference:
    """Return the difference between the means of ``second`` and ``first``.

    Raises:
        ValueError: one of them has no values.
    """
    if not (first and second):
        raise ValueError("no accuracies to compare")
    mean = fmean(second) - fmean(first)
    if min(len(first), len(second)) < 2 or abs(mean) < EQUAL:
        return Difference(mean)
    from scipy.stats import ttest_ind, ttest_rel

    with warnings.catch_warnings():
        # SciPy warns if all values are equal.
        warnings.simplefilter("ignore", RuntimeWarning)
        welch = ttest_ind(second, first, equal_var=False)
        interval = welch.confidence_interval(0.95)
        is_paired = same_seeds and len(first) == len(second)
        paired = float(ttest_rel(second, first).pvalue) if is_paired else None
    # The p-value is NaN if the values have no spread at all.
    if welch.pvalue != welch.pvalue:
        return Difference(mean)
    return Difference(
        mean,
        [float(interval.low), float(interval.high)],
        float(welch.pvalue),
        None if paired != paired else paired,
    )


class Contest:
    """Groups of accuracies that are ranked together, in little more memory than the numbers take.

    The rank of a group is a range, for example ``1-2``, if Welch's t-test (two-sided, 5 %) finds no
    difference from other groups. A group of fewer than two values never differs from another.
    P-values are not corrected for the number of comparisons.
    """

    def __init__(self) -> None:
        """Begin without groups."""
        self.values, self.counts = array("d"), array("q")

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.counts)

    def add(self, accuracies: Sequence[float]) -> None:
        """Add a group, which must not be empty."""
        self.values.extend(accuracies)
        self.counts.append(len(accuracies))

    def ranks(self, wanted: Iterable[int]) -> list[str]:
        """Return the ranks of some groups among all as texts; the best is ``1``.

        ``wanted`` has the numbers of these groups, in the order in which they were added.
        """
        if not len(self):
            return []
        import numpy as np

        counts, flat = np.frombuffer(self.counts, np.int64), np.frombuffer(self.values)
        starts = counts.cumsum() - counts
        means = np.add.reduceat(flat, starts) / counts
        # Squared standard errors of the means.
        squares = np.add.reduceat((flat - means.repeat(counts)) ** 2, starts)
        squares /= np.maximum(counts - 1, 1) * counts
        texts = []
        for own in wanted:
            differs = _welch(means[own] - means, squares[own], squares, counts[own], counts)
            best = 1 + int((differs & (means > means[own])).sum())
            last = len(self) - int((differs & (means < means[own])).sum())
            texts.append(str(best) if best == last else f"{best}-{last}")
        return texts


def ranks(groups: Iterable[Sequence[float]]) -> list[str]:
    """Return the rank of each group of accuracies as `Contest` does."""
    contest = Contest()
    for group in groups:
        contest.add(group)
    return contest.ranks(range(len(contest)))


def _welch(gap: Any, own: float, others: Any, n: int, ns: Any) -> Any:
    """Return a bool array: whether one mean differs from each of the others.

    Thousands of runs make millions of pairs. The p-value (Welch, 1947) is therefore computed only
    for pairs that the two bounds do not decide.

    Args:
        gap: array of the mean minus each of the other means.
        own: squared standard error of the mean.
        others: array of the squared standard errors of the other means.
        n: number of values behind the mean.
        ns: array of the numbers of values behind the other means.

    Returns:
        A bool array with an entry for each of the others.
    """
    import numpy as np

    # scipy.stats takes half a second to import.
    from scipy.special import stdtr

    enough = (n > 1) & (ns > 1) & (np.abs(gap) > EQUAL)
    square = own + others
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(gap) / np.sqrt(square)
        freedom = square**2 / (own**2 / max(n - 1, 1) + others**2 / np.maximum(ns - 1, 1))
    differs = enough & ((t > ALWAYS_ABOVE) | (square == 0))
    undecided = enough & (square > 0) & (t > NEVER_BELOW) & (t <= ALWAYS_ABOVE)
    differs[undecided] = 2 * stdtr(freedom[undecided], -t[undecided]) < LEVEL
    return differs
