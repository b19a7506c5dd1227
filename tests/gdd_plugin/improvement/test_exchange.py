from itertools import pairwise

import pytest
import torch

from gdd_plugin.improvement import exchange
from gdd_plugin.improvement.exchange import RIDGE, PoolFeatures

CLASSES, PER_CLASS = 3, 8
START = [0, 1, 8, 9, 16, 17]


@pytest.fixture
def images():
    """Return random features and targets of a pool, and those of 40 real images."""
    generator = torch.Generator().manual_seed(0)
    labels, real_labels = torch.arange(24) // PER_CLASS, torch.arange(40) % CLASSES
    centres = torch.randn(CLASSES, 20, generator=generator)
    pool = (centres[labels] + torch.randn(24, 20, generator=generator)) / 5
    real = (centres[real_labels] + torch.randn(40, 20, generator=generator)) / 5
    one_hot = torch.eye(CLASSES) - 1 / CLASSES
    return pool, one_hot[labels], real, one_hot[real_labels]


@pytest.fixture
def features(images):
    pool, targets, real, real_targets = images
    return PoolFeatures(pool, targets, real.t() @ real, real.t() @ real_targets)


def loss(images, rows):
    """Return the regression's loss on the real images, computed directly."""
    pool, targets, real, real_targets = images
    kernel = pool[rows] @ pool[rows].t() + RIDGE * torch.eye(len(rows))
    predicted = real @ pool[rows].t() @ torch.linalg.solve(kernel, targets[rows])
    return float((predicted - real_targets).square().sum())


def sweeps(features, is_over=lambda: False):
    return list(exchange.exchange(features, START, 0, is_over))


def test_an_exchange_equals_trying_every_candidate(images, features):
    """Two in a row, since the second starts from what the first changed."""
    state = exchange._Candidates(features, START, torch.arange(PER_CLASS))
    rows = list(START)
    for slot in (0, 1):
        rest = rows[:slot] + rows[slot + 1 :]
        tried = {row: loss(images, [*rest, row]) for row in range(PER_CLASS) if row not in rest}
        rows[slot] = state.exchange(rows[slot])
        assert rows[slot] == min(tried, key=tried.get)


def test_updates_equal_a_new_solution(features):
    state = exchange._Candidates(features, START, torch.arange(PER_CLASS))
    entered = state.exchange(0)
    solved = exchange._Candidates(features, [entered, *START[1:]], torch.arange(PER_CLASS))
    for name in ("solved", "leverage", "spread", "residual", "gradient", "slope", "is_used"):
        torch.testing.assert_close(
            getattr(state, name), getattr(solved, name), atol=1e-5, rtol=1e-4
        )


def test_every_sweep_lowers_the_loss_until_nothing_changes(images, features):
    states = [START, *sweeps(features)]
    losses = [loss(images, rows) for rows in states]
    assert losses[1] < losses[0]
    assert all(after <= before for before, after in pairwise(losses))
    assert states[-1] == states[-2]


def test_sets_keep_their_classes_and_have_no_image_twice(features):
    for rows in sweeps(features):
        assert len(set(rows)) == len(rows)
        assert [row // PER_CLASS for row in rows] == [0, 0, 1, 1, 2, 2]


def test_no_sweep_is_yielded_after_the_time_is_over(features):
    assert sweeps(features, lambda: True) == []
