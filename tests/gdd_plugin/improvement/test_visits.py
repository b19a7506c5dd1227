"""The plan of the selection and the refinement, with clocks that the tests set."""

import time
from types import SimpleNamespace

import pytest
import torch

from gdd_plugin.improvement import choose, improve, select
from gdd_plugin.improvement.exchange import PoolFeatures
from gdd_plugin.improvement.improve import RESERVE, SAFE_SHARE, Improver
from gdd_plugin.improvement.refine import TRIAL_VISITS, RefineSettings
from gdd_plugin.improvement.work import Work

# Seconds of a step in which networks are trained.
STEP = 0.1


class Clock:
    """A clock that advances with each visit, and the budget that it uses up.

    A visit takes ``seconds``, and after the trials ``slowdown`` times as much.
    """

    def __init__(self, monkeypatch, left, seconds, slowdown=1):
        self.now, self.left = 0.0, left
        self.seconds = [seconds] * TRIAL_VISITS + [seconds * slowdown] * 1000
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def remaining(self):
        return self.left - self.now


def visits(clock, candidates=2, **counts):
    """Return the planned total before each visit."""
    improver = Improver.__new__(Improver)
    improver.work, improver.budget = Work("none", "pixels", **counts), clock
    settings = RefineSettings(candidates=candidates)
    refinement = SimpleNamespace(network_step_seconds=STEP, settings=settings)
    totals = []
    for total in improver._visits(refinement):
        clock.now += clock.seconds[len(totals)]
        totals.append(total)
    return totals


def test_the_clock_decides_how_many_visits_follow_the_trials(monkeypatch):
    totals = visits(Clock(monkeypatch, left=200, seconds=1))
    left = SAFE_SHARE * (200 - TRIAL_VISITS - RESERVE)
    choice = choose.seconds(2, STEP)
    assert 10 < choice < 40
    expected = TRIAL_VISITS + int(left - choice)
    assert totals == [None] * TRIAL_VISITS + [expected] * (expected - TRIAL_VISITS)
    # Without a choice at the end, there is time for more.
    assert len(visits(Clock(monkeypatch, 200, 1), candidates=1)) == TRIAL_VISITS + int(left)


def test_given_visits_need_no_trials(monkeypatch):
    assert visits(Clock(monkeypatch, 200, 1), visits=9) == [9] * 9
    assert visits(Clock(monkeypatch, 200, 1), visits=9, last_visit=4) == [9] * 4
    assert visits(Clock(monkeypatch, 200, 1), visits=9, last_visit=0) == []


def test_visits_end_when_the_time_is_over(monkeypatch):
    assert visits(Clock(monkeypatch, left=10, seconds=2), visits=9) == [9] * 2
    assert visits(Clock(monkeypatch, left=RESERVE - 1, seconds=1)) == []


def test_no_visit_begins_that_would_end_after_the_limit(monkeypatch):
    clock = Clock(monkeypatch, left=600, seconds=20, slowdown=1.2)
    totals = visits(clock)
    assert len(totals) < totals[-1]
    assert RESERVE - 4 <= clock.remaining() < RESERVE + 24


@pytest.mark.parametrize(
    ("total", "states"), [(3, [3]), (7, [7]), (8, [8]), (20, [10, 15, 20]), (40, [10, 20, 30, 40])]
)
def test_states_after_the_trials_are_kept(total, states):
    kept = [done for done in range(1, total + 1) if improve._is_state(done, total)]
    assert kept == states


class SlowClock:
    """A clock that advances by a second whenever it is read, as it is before each exchange."""

    def __init__(self, monkeypatch, left):
        self.now, self.left = 0, left
        monkeypatch.setattr(time, "monotonic", self.read)

    def read(self):
        self.now += 1
        return self.now

    def remaining(self):
        return self.left - self.now


@pytest.mark.parametrize(("seconds", "sweeps"), [(20, 0), (40, 1), (60, 1), (75, 2)])
def test_no_sweep_begins_that_would_end_after_the_time_for_selection(monkeypatch, seconds, sweeps):
    """Sweeps of 30 images take 30 seconds, and a little more to read the clock between them."""
    labels = torch.arange(3).repeat_interleave(40)
    targets = torch.nn.functional.one_hot(labels).float()
    torch.manual_seed(0)
    features = PoolFeatures(torch.randn(120, 8), targets, torch.eye(8), torch.randn(8, 3))
    monkeypatch.setattr(select, "pool_features", lambda *_: features)
    clock = SlowClock(monkeypatch, RESERVE + seconds)
    improver = Improver.__new__(Improver)
    improver.work, improver.budget = Work("regression", "none"), clock
    improver.nets = improver.real = None
    improver.task = SimpleNamespace(seed=0, report=lambda **_: None, progress=lambda *_: None)
    pool = SimpleNamespace(pixels=None, labels=labels)
    selected = [40 * label + row for label in range(3) for row in range(10)]
    assert len(list(improver._select(pool, selected))) == sweeps
    assert sweeps == 0 or clock.now <= seconds
