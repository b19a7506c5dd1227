"""Mean, spread, interval and test of accuracies over evaluation seeds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

LEVEL = 0.05
EQUAL = 1e-9  # what rounding makes of equal means
NEVER, SURELY = (
    1.959,
    12.71,
)  # quantiles of Student's t at that level for infinitely many degrees of freedom and for one


def summary(values: Sequence[float]) -> tuple[float | None, float | None, list[float] | None]:
    """Mean, sample standard deviation (n - 1) and 95 % t interval of the mean; None for what ``values`` are too few for."""
    if not values:
        return None, None, None
    if len(values) == 1:
        return values[0], None, None
    from scipy.special import (
        stdtrit,  # Student's t quantile; scipy.stats takes half a second to import
    )

    mean, spread = fmean(values), stdev(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * spread / len(values) ** 0.5
    return mean, spread, [mean - half, mean + half]


def within(interval: Sequence[float] | None) -> tuple[float, float] | None:
    """An interval of an accuracy, cut to where accuracies can be."""
    return (max(interval[0], 0.0), min(interval[1], 1.0)) if interval else None


@dataclass(frozen=True)
class Difference:
    """Of two means, the second less the first: with its 95 % interval and p-value; None for what the values are too few or too equal for.

    By Welch's t-test. ``paired``: the p-value of the paired test, where both have the same seeds.
    """

    mean: float
    ci95: list[float] | None = None
    p: float | None = None
    paired: float | None = None

    @property
    def is_one(self) -> bool:
        return self.p is not None and self.p < LEVEL


def difference(
    first: Sequence[float], second: Sequence[float], same_seeds: bool = False
) -> Difference:
    """Raises `ValueError` where one has no values."""
    if not (first and second):
        raise ValueError("no accuracies to compare")
    mean = fmean(second) - fmean(first)
    if min(len(first), len(second)) < 2 or abs(mean) < EQUAL:
        return Difference(mean)
    from scipy.stats import ttest_ind, ttest_rel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that are all equal
        welch = ttest_ind(second, first, equal_var=False)
        interval = welch.confidence_interval(0.95)
        paired = (
            float(ttest_rel(second, first).pvalue)
            if same_seeds and len(first) == len(second)
            else None
        )
    if welch.pvalue != welch.pvalue:  # no spread at all
        return Difference(mean)
    return Difference(
        mean,
        [float(interval.low), float(interval.high)],
        float(welch.pvalue),
        None if paired != paired else paired,
    )


def ranks(groups: Sequence[Sequence[float]]) -> list[str]:
    """The rank of each group of accuracies as text: "1", or "1-2" where Welch's t-test (two-sided, 5 %) doesn't tell it from a neighbour.

    A group of fewer than two values differs from none. There is no correction for the number of comparisons.
    """
    if not groups:
        return []
    import numpy as np

    means = np.array([fmean(values) for values in groups])
    counts = np.array([len(values) for values in groups])
    squares = np.array(
        [stdev(values) ** 2 / len(values) if len(values) > 1 else 0.0 for values in groups]
    )  # of the means' standard errors
    texts = []
    for own in range(len(groups)):
        differs = _welch(means[own] - means, squares[own], squares, counts[own], counts)
        best = 1 + int((differs & (means > means[own])).sum())
        last = len(groups) - int((differs & (means < means[own])).sum())
        texts.append(str(best) if best == last else f"{best}-{last}")
    return texts


def _welch(gap: Any, own: float, others: Any, n: int, ns: Any) -> Any:
    """Whether one mean differs from each of the others, bool; ``own`` and ``others`` are squared standard errors.

    Thousands of runs make millions of pairs, so the p-value (Welch, 1947) is computed only where a bound does not decide.
    """
    import numpy as np
    from scipy.special import (
        stdtr,  # distribution of Student's t; scipy.stats takes half a second to import
    )

    enough = (n > 1) & (ns > 1) & (np.abs(gap) > EQUAL)
    square = own + others
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(gap) / np.sqrt(square)
        freedom = square**2 / (own**2 / max(n - 1, 1) + others**2 / np.maximum(ns - 1, 1))
    found = enough & ((t > SURELY) | (square == 0))
    open_ = enough & (square > 0) & (t > NEVER) & (t <= SURELY)
    found[open_] = 2 * stdtr(freedom[open_], -t[open_]) < LEVEL
    return found
