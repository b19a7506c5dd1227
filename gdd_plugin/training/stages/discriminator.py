"""The discriminator, which provides the adversarial loss of the student."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gdd_plugin.training import losses
from gdd_plugin.training.networks import Discriminator
from gdd_plugin.training.run import TrainingRun
from gdd_plugin.training.settings import StudentSettings
from gdd_plugin.training.stages.sample_batch import SampleBatch


class DiscriminatorTrainer:
    """The discriminator and its optimizer. It takes one step for each step of the student."""

    def __init__(self, classes: int, settings: StudentSettings, run: TrainingRun) -> None:
        self.accelerator, self.r1 = run.accelerator, settings.r1
        self.network = Discriminator(classes).to(run.device)
        optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.discriminator_lr, betas=(0.0, 0.99)
        )
        self.prepared, self.optimizer = self.accelerator.prepare(self.network, optimizer)

    def generator_loss(self, generated: SampleBatch) -> Tensor:
        """Return the adversarial loss of the generator on its samples."""
        self.network.requires_grad_(False)
        loss = losses.hinge_generator(self.network(generated.layers[1:], generated.labels))
        self.network.requires_grad_(True)
        return loss

    def update(self, generated: SampleBatch, real: SampleBatch) -> Tensor:
        """Take one optimizer step and return the discriminator's loss."""
        count = len(real.labels)
        layers = [
            torch.cat([x, y]).detach().requires_grad_()
            for x, y in zip(real.layers[1:], generated.layers[1:], strict=True)
        ]
        outputs = self.prepared(layers, torch.cat([real.labels, generated.labels]))
        on_real = [output[:count] for output in outputs]
        on_generated = [output[count:] for output in outputs]
        hinge = losses.hinge_discriminator(on_real, on_generated)
        loss = hinge + self.r1 * losses.r1_penalty(on_real, layers)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.network.load_state_dict(state_dict["net"])
        self.optimizer.load_state_dict(state_dict["optimizer"])
