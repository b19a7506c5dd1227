"""Everything that decides the weights, besides the data and the versions of the libraries.

A training's folder holds these settings, and continues only with equal ones. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmark_adapters.types import UserError

MIN_STEPS = 4  # of a stage; a one-cycle learning rate needs some


@dataclass(frozen=True)
class StageSettings:
    """Settings of a stage.

    Attributes:
        batch: images per step.
        lr: highest learning rate.
        ema: decay of the moving average of the weights; 0: none.
    """

    steps: int
    batch: int
    lr: float
    ema: float = 0.0

    def scaled(self, scale: float) -> StageSettings:
        """Return the same with ``scale`` times as many steps."""
        return replace(self, steps=_scale(self.steps, scale))


@dataclass(frozen=True)
class StudentSettings:
    """Settings of the student, the stage that trains the one-step generator.

    Attributes:
        lr: highest learning rate.
        classes: per step.
        generated: samples of each of these classes.
        real: real images of each of these classes.
        matching, adversarial, distillation: weights of the losses; a loss of weight 0 is left out.
        r1: weight of the discriminator's gradient penalty.
        discriminator_lr: the discriminator's learning rate.
        ema: decay of the moving average of the weights; 0: none.
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
                "no loss of the student has a weight; "
                "give --matching, --adversarial or --distillation"
            )

    def scaled(self, scale: float) -> StudentSettings:
        """Return the same with ``scale`` times as many steps."""
        return replace(self, steps=_scale(self.steps, scale))


@dataclass(frozen=True)
class TurboMiniSettings:
    """Settings of a training of turbo-mini from random weights.

    Attributes:
        held_out: training images that are left for choices, the last of each class.
    """

    dataset: str
    seed: int = 0
    held_out: int = 5000
    features: StageSettings = StageSettings(steps=1000, batch=128, lr=2e-3)
    autoencoder: StageSettings = StageSettings(steps=2500, batch=64, lr=2e-3)
    teacher: StageSettings = StageSettings(steps=2000, batch=128, lr=1e-3, ema=0.998)
    student: StudentSettings = StudentSettings(steps=5000, adversarial=0.0, distillation=0.0)

    def scaled(self, scale: float) -> TurboMiniSettings:
        """Return the same with ``scale`` times as many steps in each stage."""
        return replace(
            self,
            features=self.features.scaled(scale),
            autoencoder=self.autoencoder.scaled(scale),
            teacher=self.teacher.scaled(scale),
            student=self.student.scaled(scale),
        )


@dataclass(frozen=True)
class LoraSettings:
    """Settings of a training of a LoRA adapter. The models' weights decide the adapter too.

    Attributes:
        model: one-step model to adapt, a name, folder or hub id.
        teacher: diffusion model of the same architecture for the distillation loss.
        held_out: training images that are left for choices, the last of each class.
        rank: of the LoRA matrices.
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
        """Return the same with ``scale`` times as many steps in each stage."""
        return replace(
            self, features=self.features.scaled(scale), student=self.student.scaled(scale)
        )


def _scale(steps: int, scale: float) -> int:
    return max(MIN_STEPS, round(steps * scale))
