"""Tests of the measurements of a model, on sets with known properties."""

import numpy as np
import pytest
import torch

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring import students
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.training import metrics

pytestmark = pytest.mark.usefixtures("one_thread")


def test_variety_and_nearest_distance_of_known_sets():
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    torch.manual_seed(0)
    net = students.build("convnet3", 10, 28, 1, 8)
    whole = metrics.variety(
        net, metrics.distilled_set(images, labels, FASHION_MNIST, 50), FASHION_MNIST
    )
    same = np.concatenate([images[labels == label][:1].repeat(30, 0) for label in range(10)])
    assert (
        metrics.variety(
            net,
            metrics.distilled_set(same, np.repeat(np.arange(10), 30), FASHION_MNIST, 30),
            FASHION_MNIST,
        )
        < 0.01 * whole
    )
    assert metrics.nearest_distance(images[:100], images[:1000]) < 0.1
    assert metrics.nearest_distance(images[1000:1100], images[:1000]) > 5


def test_speed_is_measured_with_a_unet_and_a_decoder_of_different_types(random_turbo):
    """On a GPU, a decoder that overflows in float16 is loaded in bfloat16."""
    turbo = TurboSampler(str(random_turbo))
    turbo.pipe.vae.to(torch.bfloat16)
    assert metrics.milliseconds_per_image(turbo, batch=2, repeats=1) > 0
