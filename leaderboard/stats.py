"""Mean, spread, interval and test of accuracies over evaluation seeds."""

import warnings
from collections.abc import Sequence
from statistics import fmean, stdev


def summary(values: Sequence[float]) -> tuple[float | None, float | None, list[float] | None]:
    """Mean, sample standard deviation (n - 1) and 95 % t interval of the mean; None for what ``values`` are too few for."""
    if not values:
        return None, None, None
    if len(values) == 1:
        return values[0], None, None
    from scipy.special import stdtrit  # Student's t quantile; scipy.stats takes half a second to import

    mean, spread = fmean(values), stdev(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * spread / len(values) ** 0.5
    return mean, spread, [mean - half, mean + half]


def differs(first: Sequence[float], second: Sequence[float], level: float = 0.05) -> bool:
    """Whether the means differ by Welch's t-test (two-sided). False where one has fewer than two values."""
    if min(len(first), len(second)) < 2:
        return False
    if not stdev(first) and not stdev(second):
        return fmean(first) != fmean(second)
    from scipy.stats import ttest_ind

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of equal values in one of them
        return bool(ttest_ind(first, second, equal_var=False).pvalue < level)


def ranks(groups: Sequence[Sequence[float]]) -> list[str]:
    """The rank of each group of accuracies as text: "1", or "1-2" where no test tells it from a neighbour."""
    texts = []
    for own in groups:
        better = sum(differs(own, other) and fmean(other) > fmean(own) for other in groups)
        worse = sum(differs(own, other) and fmean(other) < fmean(own) for other in groups)
        best, last = 1 + better, len(groups) - worse
        texts.append(str(best) if best == last else f"{best}-{last}")
    return texts
