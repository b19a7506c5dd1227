"""Intervals, tests and ranks, against scipy's."""

import random
import warnings

import pytest
import scipy.stats

from leaderboard import stats


@pytest.mark.parametrize("values", [[0.5, 0.6], [0.70, 0.72, 0.74], [0.1, 0.5, 0.3, 0.9, 0.2]])
def test_the_interval_is_scipys_t_interval(values):
    mean, spread, (low, high) = stats.summary(values)
    expected = scipy.stats.t.interval(
        0.95, len(values) - 1, loc=sum(values) / len(values), scale=scipy.stats.sem(values)
    )
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(sum(values) / len(values))
    assert spread == pytest.approx(scipy.stats.tstd(values))


def test_too_few_values_have_no_interval():
    assert stats.summary([]) == (None, None, None)
    assert stats.summary([0.5]) == (0.5, None, None)


def test_ranks_are_shared_where_no_test_tells_the_means_apart():
    clear = [[0.90, 0.91, 0.92], [0.70, 0.71, 0.72], [0.50, 0.51, 0.52]]
    assert stats.ranks(clear) == ["1", "2", "3"]
    assert stats.ranks([[0.90, 0.91, 0.92], [0.895, 0.91, 0.915], [0.50, 0.51, 0.52]]) == [
        "1-2",
        "1-2",
        "3",
    ]
    assert stats.ranks([[0.9], [0.1]]) == ["1-2", "1-2"]  # one value each proves nothing
    assert stats.ranks([[0.5, 0.5], [0.5, 0.5]]) == ["1-2", "1-2"]
    assert (
        stats.ranks([[0.1] * 3, [0.1] * 2, [0.1] * 5]) == ["1-3"] * 3
    )  # whose computed means differ in the last digit
    assert not stats.difference([0.001] * 5, [0.001] * 10).is_significant
    assert stats.ranks([]) == []


def test_equal_values_make_no_noise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stats.ranks([[0.5, 0.5, 0.5], [0.7, 0.71, 0.72]]) == ["2", "1"]


def test_ranks_are_those_of_scipys_test_over_all_pairs():
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
