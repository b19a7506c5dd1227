"""Intervals, tests and ranks, compared with SciPy's results."""

import random
import warnings

import pytest
import scipy.stats

from leaderboard import stats


@pytest.mark.parametrize("values", [[0.5, 0.6], [0.70, 0.72, 0.74], [0.1, 0.5, 0.3, 0.9, 0.2]])
def test_summary_interval_equals_scipys_t_interval(values):
    mean, spread, (low, high) = stats.summary(values)
    expected = scipy.stats.t.interval(
        0.95, len(values) - 1, loc=sum(values) / len(values), scale=scipy.stats.sem(values)
    )
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(sum(values) / len(values))
    assert spread == pytest.approx(scipy.stats.tstd(values))


def test_summary_of_too_few_values_has_no_interval():
    assert stats.summary([]) == (None, None, None)
    assert stats.summary([0.5]) == (0.5, None, None)


def test_ranks_are_shared_unless_a_difference_is_significant():
    clear = [[0.90, 0.91, 0.92], [0.70, 0.71, 0.72], [0.50, 0.51, 0.52]]
    assert stats.ranks(clear) == ["1", "2", "3"]
    assert stats.ranks([[0.90, 0.91, 0.92], [0.895, 0.91, 0.915], [0.50, 0.51, 0.52]]) == [
        "1-2",
        "1-2",
        "3",
    ]
    # A single value in each group proves nothing.
    assert stats.ranks([[0.9], [0.1]]) == ["1-2", "1-2"]
    assert stats.ranks([[0.5, 0.5], [0.5, 0.5]]) == ["1-2", "1-2"]
    # The computed means differ in the last digit.
    assert stats.ranks([[0.1] * 3, [0.1] * 2, [0.1] * 5]) == ["1-3"] * 3
    assert not stats.difference([0.001] * 5, [0.001] * 10).is_significant
    assert stats.ranks([]) == []


def test_ranks_of_equal_values_cause_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stats.ranks([[0.5, 0.5, 0.5], [0.7, 0.71, 0.72]]) == ["2", "1"]


def test_ranks_agree_with_scipys_test_of_every_pair():
    draw = random.Random(0)
    groups = [
        [
            draw.gauss(draw.choice([0.5, 0.52, 0.55]), draw.choice([0.001, 0.02]))
            for _ in range(draw.choice([1, 2, 3, 5]))
        ]
        for _ in range(60)
    ]
    expected = []
    for own in groups:
        tests = [
            (
                sum(own) / len(own) - sum(other) / len(other),
                stats.difference(own, other).is_significant,
            )
            for other in groups
        ]
        best, last = (
            1 + sum(gap < 0 and one for gap, one in tests),
            len(groups) - sum(gap > 0 and one for gap, one in tests),
        )
        expected.append(str(best) if best == last else f"{best}-{last}")
    assert stats.ranks(groups) == expected
    assert len(set(expected)) > 10
