"""Real images and networks for the bundled part of Fashion-MNIST."""

import pytest
import torch
from sampling import make_task

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring.recipes import DSA
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.real_images import RealImages


def bundled():
    return datasets.load(FASHION_MNIST, "train", bundled=True)


@pytest.fixture
def task():
    """Return a task whose real images are the bundled ones."""
    return make_task(training_images=bundled, recipe=DSA)


@pytest.fixture
def real(task):
    return RealImages.of(task)


@pytest.fixture
def nets(task):
    return Networks(task, compiled=False)


@pytest.fixture
def pool(real):
    """Return 12 real images per class that are not held out, in place of samples."""
    rows = torch.cat([torch.where(real.labels == label)[0][:12] for label in range(10)])
    return real.pixels[rows], real.labels[rows]
