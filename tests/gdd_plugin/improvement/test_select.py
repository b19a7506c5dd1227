import pytest
import torch

from gdd_plugin.improvement import select
from gdd_plugin.improvement.select import RIDGE, Kernels


@pytest.fixture
def kernels():
    """Return kernels of random features: 3 classes with 8 images each, and 40 real images."""
    generator = torch.Generator().manual_seed(0)
    labels, real_labels = torch.arange(24) // 8, torch.arange(40) % 3
    centres = 2 * torch.randn(3, 20, generator=generator)
    pool = centres[labels] + torch.randn(24, 20, generator=generator)
    real = centres[real_labels] + torch.randn(40, 20, generator=generator)
    scale = pool.square().sum(1).mean()
    one_hot = torch.eye(3) - 1 / 3
    return Kernels(
        pool @ pool.t() / scale, real @ pool.t() / scale, one_hot[labels], one_hot[real_labels]
    )


def loss(kernels, rows):
    """Return the regression's loss on the real images, computed directly."""
    kernel = kernels.pool[rows][:, rows] + RIDGE * torch.eye(len(rows))
    weights = torch.linalg.solve(kernel, kernels.pool_targets[rows])
    return float((kernels.real[:, rows] @ weights - kernels.real_targets).square().sum())


START = [0, 1, 8, 9, 16, 17]


def sweeps(kernels, is_over=lambda: False):
    return list(select.exchange(kernels, START, 0, is_over))


def test_best_addition_equals_trying_every_candidate(kernels):
    rest = START[1:]
    candidates = torch.arange(8)
    tried = {row: loss(kernels, [*rest, row]) for row in range(8) if row not in rest}
    assert select._best_addition(kernels, rest, candidates) == min(tried, key=tried.get)


def test_every_sweep_lowers_the_loss_until_nothing_changes(kernels):
    states = sweeps(kernels)
    losses = [loss(kernels, rows) for rows in [START, *states]]
    assert losses[1] < losses[0]
    assert losses == sorted(losses, reverse=True)
    assert states[-1] == states[-2]


def test_sets_keep_their_classes_and_have_no_image_twice(kernels):
    for rows in sweeps(kernels):
        assert len(set(rows)) == len(rows)
        assert [row // 8 for row in rows] == [0, 0, 1, 1, 2, 2]


def test_no_sweep_is_yielded_after_the_time_is_over(kernels):
    assert sweeps(kernels, lambda: True) == []


def test_kernels_of_real_networks_are_scaled_and_repeatable(nets, real, pool, monkeypatch):
    monkeypatch.setattr(select, "TRAINED_STEPS", (1, 2))
    torch.manual_seed(0)
    first = select.kernels(nets, real, *pool, seed=0)
    torch.manual_seed(0)
    second = select.kernels(nets, real, *pool, seed=0)
    assert first.pool.shape == (120, 120)
    assert first.real.shape == (len(real.labels), 120)
    assert first.pool.diagonal().mean() == pytest.approx(1)
    assert torch.equal(first.real, second.real)
