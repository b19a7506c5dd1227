"""Train the student, which is the one-step generator, with up to three losses."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from gdd_plugin.training import losses
from gdd_plugin.training.data import RealImages
from gdd_plugin.training.loop import TrainingLoop
from gdd_plugin.training.networks import Denoiser, FeatureNetwork, Generator
from gdd_plugin.training.prompts import PromptSampler, Tokens
from gdd_plugin.training.run import TrainingRun
from gdd_plugin.training.settings import StudentSettings
from gdd_plugin.training.stages.discriminator import DiscriminatorTrainer
from gdd_plugin.training.stages.matching import matching
from gdd_plugin.training.stages.sample_batch import SampleBatch, draw_real

# Rows and columns of samples.png.
EXAMPLE_CLASSES, EXAMPLES = 10, 10


@dataclass(frozen=True)
class Supervision:
    """The networks and data that the student learns from.

    Attributes:
        features: the frozen feature network.
        images: the real images.
        prompts: the prompts of the classes.
        teacher: the frozen teacher; may be None if the distillation loss has weight 0.
    """

    features: FeatureNetwork
    images: RealImages
    prompts: PromptSampler
    teacher: Denoiser | None


class StudentLosses:
    """The student's losses with nonzero weight, and the discriminator.

    Attributes:
        discriminator: None if the adversarial loss has weight 0.
    """

    def __init__(
        self, supervision: Supervision, settings: StudentSettings, run: TrainingRun
    ) -> None:
        self.supervision, self.settings, self.run = supervision, settings, run
        run.seed("discriminator")
        self.discriminator: DiscriminatorTrainer | None = None
        if settings.adversarial:
            classes = supervision.images.dataset.num_classes
            self.discriminator = DiscriminatorTrainer(classes, settings, run)
        self.random_features = copy.deepcopy(supervision.features)

    def compute(
        self, generated: SampleBatch, classes: list[int], tokens: Tokens
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Train the discriminator for one step, and compute the student's losses.

        Returns:
            The student's losses by name, and additional losses for the log.
        """
        loss_terms, logged = {}, {}
        if self.settings.matching:
            real = self._draw_real(classes, self.settings.real)
            loss_terms["matching"] = matching(generated, real, len(classes), self.random_features)
        if self.discriminator:
            real = self._draw_real(classes, self.settings.generated)
            logged["discriminator"] = self.discriminator.update(generated, real)
            loss_terms["adversarial"] = self.discriminator.generator_loss(generated)
        if self.settings.distillation:
            loss_terms["distillation"] = self._distillation(generated.latents, tokens)
        return loss_terms, logged

    def _draw_real(self, classes: list[int], count: int) -> SampleBatch:
        return draw_real(self.supervision.features, self.supervision.images, classes, count)

    def _distillation(self, latents: Tensor | None, tokens: Tokens) -> Tensor:
        """Return the distillation loss, after adding noise to ``latents`` at uniform timesteps."""
        teacher = self.supervision.teacher
        # Callers ensure both.
        assert teacher is not None
        assert latents is not None
        with self.run.accelerator.autocast():
            timesteps = torch.randint(1, 1000, (len(latents),), device=latents.device)
            with torch.no_grad():
                noisy = teacher.add_noise(latents, torch.randn_like(latents), timesteps)
                clean = teacher(noisy, timesteps, tokens)
            return losses.distillation(latents, clean, teacher.alpha[timesteps])

    def weighted_sum(self, loss_terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of the student's losses."""
        weights = {
            "matching": self.settings.matching,
            "adversarial": self.settings.adversarial,
            "distillation": self.settings.distillation,
        }
        terms = [weight * loss_terms[name] for name, weight in weights.items() if weight]
        return torch.stack(terms).sum()


def train_student(
    generator: Generator, supervision: Supervision, settings: StudentSettings, run: TrainingRun
) -> None:
    """Train the parameters of ``generator`` that require gradients.

    Raises:
        UserError: see `TrainingLoop`.
    """
    student_losses = StudentLosses(supervision, settings, run)
    discriminator, images = student_losses.discriminator, supervision.images
    loop = TrainingLoop(
        run,
        "student",
        settings.steps,
        generator,
        settings.lr,
        ema=settings.ema,
        others={"adversary": discriminator} if discriminator else {},
    )
    loop.on_save = lambda: run.save_samples(_examples(generator, supervision))
    for _ in loop:
        classes = torch.randperm(images.dataset.num_classes)[: settings.classes].tolist()
        tokens = supervision.prompts.draw(classes)
        count = len(classes) * settings.generated
        noise = torch.randn(count, *generator.shape, device=images.device)
        latents, pictures = loop.network(noise, tokens)
        labels = torch.tensor(classes, device=images.device)
        labels = labels.repeat_interleave(settings.generated)
        generated = SampleBatch(latents, pictures, labels, *supervision.features(pictures))
        loss_terms, logged = student_losses.compute(generated, classes, tokens)
        loop.update(student_losses.weighted_sum(loss_terms), **loss_terms, **logged)


@torch.no_grad()
def _examples(generator: Generator, supervision: Supervision) -> Tensor:
    """Return pictures [rows, columns, C, S, S] of the first classes, prompted with bare names.

    The noise is always the same.
    """
    source = torch.Generator().manual_seed(0)
    prompts, rows = supervision.prompts, []
    # Generate one class at a time, because large models fill the memory.
    for texts in prompts.by_class[:EXAMPLE_CLASSES]:
        noise = torch.randn(EXAMPLES, *generator.shape, generator=source)
        noise = noise.to(supervision.images.device)
        rows.append(generator(noise, prompts.tokens(texts[:1]))[1])
    return torch.stack(rows)
