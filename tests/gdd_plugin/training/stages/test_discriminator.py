"""Tests of the discriminator and the adversarial loss of the generator."""

import pytest
import torch
from descending import batch_of, descend
from small_training import SHORT

from gdd_plugin.training.run import TrainingRun
from gdd_plugin.training.stages.discriminator import DiscriminatorTrainer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_discriminator_learns_and_its_loss_makes_samples_look_real(features, real, tmp_path):
    discriminator = DiscriminatorTrainer(10, SHORT, TrainingRun(tmp_path, {"seed": 0}, 10))
    pictures = torch.nn.Parameter(0.3 * torch.randn(16, 1, 28, 28))
    first = discriminator.update(batch_of(features, pictures), real).item()
    for _ in range(60):
        last = discriminator.update(batch_of(features, pictures), real).item()
    assert last < 0.2 * first
    loss = discriminator.generator_loss(batch_of(features, pictures)).item()
    assert loss > 0 > discriminator.generator_loss(real).item()
    descend(pictures, lambda: discriminator.generator_loss(batch_of(features, pictures)), 40)
    assert discriminator.generator_loss(batch_of(features, pictures)).item() < 0
