"""The plan of the refinement, with a clock that the tests set."""

import time
from types import SimpleNamespace

import pytest

from gdd_plugin.improvement import improve
from gdd_plugin.improvement.improve import CHOICE_VISITS, RESERVE, SAFE_SHARE, Improver
from gdd_plugin.improvement.refine import TRIAL_VISITS
from gdd_plugin.improvement.work import Work


class Clock:
    """A clock that advances by ``seconds`` with each visit, and the budget that it uses up."""

    def __init__(self, monkeypatch, left, seconds):
        self.now, self.left, self.seconds = 0.0, left, seconds
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def remaining(self):
        return self.left - self.now


def visits(clock, compiled=True, **counts):
    """Return the planned total before each visit."""
    improver = SimpleNamespace(
        work=Work("none", "pixels", **counts),
        budget=clock,
        nets=SimpleNamespace(compiled=compiled),
    )
    totals = []
    for total in Improver._visits(improver):
        totals.append(total)
        clock.now += clock.seconds
    return totals


def test_the_clock_decides_how_many_visits_follow_the_trials(monkeypatch):
    totals = visits(Clock(monkeypatch, left=200, seconds=1))
    left = SAFE_SHARE * (200 - TRIAL_VISITS - RESERVE)
    expected = TRIAL_VISITS + int(left) - CHOICE_VISITS
    assert totals == [None] * TRIAL_VISITS + [expected] * (expected - TRIAL_VISITS)
    # Without a choice at the end, there is time for more.
    assert len(visits(Clock(monkeypatch, 200, 1), compiled=False)) == expected + CHOICE_VISITS


def test_given_visits_need_no_trials(monkeypatch):
    assert visits(Clock(monkeypatch, 200, 1), visits=9) == [9] * 9
    assert visits(Clock(monkeypatch, 200, 1), visits=9, last_visit=4) == [9] * 4
    assert visits(Clock(monkeypatch, 200, 1), visits=9, last_visit=0) == []


def test_visits_end_when_the_time_is_over(monkeypatch):
    assert visits(Clock(monkeypatch, left=10, seconds=2), visits=9) == [9] * 3
    assert visits(Clock(monkeypatch, left=RESERVE - 1, seconds=1)) == []


@pytest.mark.parametrize(
    ("total", "states"), [(3, [3]), (7, [7]), (8, [8]), (20, [10, 15, 20]), (40, [10, 20, 30, 40])]
)
def test_states_after_the_trials_are_kept(total, states):
    kept = [done for done in range(1, total + 1) if improve._is_state(done, total)]
    assert kept == states
