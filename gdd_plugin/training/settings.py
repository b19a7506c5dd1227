"""All settings that determine the weights, apart from the data and the versions of the libraries.

The folder of a training run stores these settings, and training continues there only with equal
settings. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmark_adapters.types import UserError

# Minimum number of steps of a stage. A one-cycle learning rate needs a few.
MIN_STEPS = 4


@dataclass(frozen=True)
class StageSettings:
    """Settings of a training stage.

    Attributes:
        batch: images per step.
        lr: peak learning rate.
        ema: decay of the moving average of the weights; 0: keep no average.
    """

    steps: int
    batch: int
    lr: float
    ema: float = 0.0

    def scaled(self, scale: float) -> StageSettings:
        """Return a copy with ``scale`` times as many steps."""
        return replace(self, steps=_scale(self.steps, scale))


@dataclass(frozen=True)
class StudentSettings:
    """Settings of the student stage, which trains the one-step generator.

    Attributes:
        lr: peak learning rate.
        classes: number of classes per step.
        generated: samples of each of these classes.
        real: real images of each of these classes.
        matching, adversarial, distillation: weights of the losses; a loss with weight 0 is not
            computed.
        r1: weight of the discriminator's gradient penalty.
        discriminator_lr: learning rate of the discriminator.
        ema: decay of the moving average of the weights; 0: keep no average.
    """

    steps: int
    lr: float = 5e-4
    classes: int = 4
    generated: int = 32
    real: int = 64
    matching: float = 1.0
    adversarial: float = 0.1
    distillation: float = 0.1
    r1: float = 1e-3
    discriminator_lr: float = 1e-3
    ema: float = 0.998

    def __post_init__(self) -> None:
        if not (self.matching or self.adversarial or self.distillation):
            raise UserError(
                "all losses of the student have weight 0; "
                "set --matching, --adversarial or --distillation"
            )

    def scaled(self, scale: float) -> StudentSettings:
        """Return a copy with ``scale`` times as many steps."""
        return replace(self, steps=_scale(self.steps, scale))


@dataclass(frozen=True)
class TurboMiniSettings:
    """Settings for training turbo-mini from random weights.

    Attributes:
        held_out: number of training images held out for model selection, the last of each class.
    """

    dataset: str
    seed: int = 0
    held_out: int = 5000
    features: StageSettings = StageSettings(steps=1000, batch=128, lr=2e-3)
    autoencoder: StageSettings = StageSettings(steps=2500, batch=64, lr=2e-3)
    teacher: StageSettings = StageSettings(steps=2000, batch=128, lr=1e-3, ema=0.998)
    student: StudentSettings = StudentSettings(steps=5000, adversarial=0.0, distillation=0.0)

    def scaled(self, scale: float) -> TurboMiniSettings:
        """Return a copy with ``scale`` times as many steps in each stage."""
        return replace(
            self,
            features=self.features.scaled(scale),
            autoencoder=self.autoencoder.scaled(scale),
            teacher=self.teacher.scaled(scale),
            student=self.student.scaled(scale),
        )


@dataclass(frozen=True)
class LoraSettings:
    """Settings for training a LoRA adapter, which also depends on the weights of the models.

    Attributes:
        model: name, folder or Hub ID of the one-step model to adapt.
        teacher: diffusion model with the same architecture, for the distillation loss.
        held_out: number of training images held out for model selection, the last of each class.
        rank: rank of the LoRA matrices.
    """

    dataset: str
    model: str
    teacher: str | None
    seed: int = 0
    held_out: int = 5000
    rank: int = 8
    features: StageSettings = StageSettings(steps=1000, batch=128, lr=2e-3)
    student: StudentSettings = StudentSettings(steps=1000, lr=1e-3)

    def scaled(self, scale: float) -> LoraSettings:
        """Return a copy with ``scale`` times as many steps in each stage."""
        return replace(
            self, features=self.features.scaled(scale), student=self.student.scaled(scale)
        )


def _scale(steps: int, scale: float) -> int:
    return max(MIN_STEPS, round(steps * scale))
