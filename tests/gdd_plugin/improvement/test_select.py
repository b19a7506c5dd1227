import pytest
import torch

from gdd_plugin.improvement import select


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(select, "TRAINED_STEPS", (1, 2))
    monkeypatch.setattr(select, "REAL", 200)


def features(nets, real, pool):
    torch.manual_seed(0)
    return select.pool_features(nets, real, *pool, seed=0)


def test_features_of_real_networks_are_repeatable_and_scaled(nets, real, pool):
    first, second = features(nets, real, pool), features(nets, real, pool)
    assert torch.equal(first.pool, second.pool)
    assert first.targets.shape == (120, 10)
    # The mean square of the real images' features, since their second moment is a sum.
    assert float(first.second_moment.trace() / 200) == pytest.approx(1, rel=1e-4)


def test_few_components_keep_most_of_the_kernel(nets, real, pool, monkeypatch):
    whole = features(nets, real, pool)
    monkeypatch.setattr(select, "MAX_COMPONENTS", 128)
    monkeypatch.setattr(select, "CHUNK", 50)
    reduced = features(nets, real, pool)
    assert reduced.pool.shape == (120, 128)
    kernel, approximation = (each.pool @ each.pool.t() for each in (whole, reduced))
    assert float((kernel - approximation).norm() / kernel.norm()) < 0.1
