"""Tests of the matching loss."""

import pytest
import torch
from descending import batch_of, descend

from gdd_plugin.training.networks import FeatureNetwork
from gdd_plugin.training.stages.matching import matching

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_matching_moves_samples_towards_real_images_of_their_class(features, real):
    pictures = torch.nn.Parameter(0.3 * torch.randn(16, 1, 28, 28))
    fresh = FeatureNetwork(1, 28, 10).eval().requires_grad_(False)
    descend(pictures, lambda: matching(batch_of(features, pictures), real, 2, fresh), 60)
    (pullovers, sneakers), real_means = (
        pictures.detach().unflatten(0, (2, -1)).mean(1),
        real.pictures.unflatten(0, (2, -1)).mean(1),
    )
    for other, (samples, own) in zip(
        reversed(real_means),
        zip((pullovers, sneakers), real_means, strict=True),
        strict=True,
    ):
        assert (samples - own).square().mean() < 0.5 * (samples - other).square().mean()
