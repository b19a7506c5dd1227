"""Fixtures for the tests of the student's losses: random features and real images."""

import pytest
import torch

from benchmark_adapters.datasets import FASHION_MNIST
from gdd_plugin.training.data import RealImages
from gdd_plugin.training.networks import FeatureNetwork
from gdd_plugin.training.stages.sample_batch import draw_real


@pytest.fixture
def features():
    """Return a frozen feature network with random weights."""
    torch.manual_seed(0)
    return FeatureNetwork(1, 28, 10).eval().requires_grad_(False)


@pytest.fixture
def real(few, features):
    """Return real images of two classes."""
    return draw_real(features, RealImages(FASHION_MNIST, few, 200, 8), [2, 7], 24)
