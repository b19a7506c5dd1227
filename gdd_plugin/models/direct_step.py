"""A single step from noise to clean latents, computed from the scheduler's settings.

Several threads can compute it at the same time, which a pipeline cannot.
Noise has a variance of 1. Tensors are float32 [n, c, h, w].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

# The other predictions of these schedulers have other formulas.
PREDICTIONS = {
    "EulerAncestralDiscreteScheduler": ("epsilon", "v_prediction"),
    "EulerDiscreteScheduler": ("epsilon", "v_prediction", "sample"),
    "LCMScheduler": ("epsilon", "v_prediction", "sample"),
}


class DirectStep(Protocol):
    """A step. ``timestep`` is what the network is told."""

    @property
    def timestep(self) -> float: ...

    def visible(self, noise: Tensor) -> Tensor:
        """Return what the network sees."""

    def denoised(self, noise: Tensor, output: Tensor) -> Tensor:
        """Return clean latents from the network's output."""


@dataclass(frozen=True)
class EulerStep:
    """The Euler step from ``sigma`` to 0 (Karras et al. 2022, algorithm 1).

    Its result is the network's estimate of the clean latents.
    """

    timestep: float
    sigma: float
    noise_scale: float
    prediction: str

    def visible(self, noise: Tensor) -> Tensor:
        return noise * self.noise_scale / (self.sigma**2 + 1) ** 0.5

    def denoised(self, noise: Tensor, output: Tensor) -> Tensor:
        sigma, noisy = self.sigma, noise * self.noise_scale
        match self.prediction:
            case "epsilon":
                return noisy - sigma * output
            case "v_prediction":
                return noisy / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
            case _:
                return output


@dataclass(frozen=True)
class ConsistencyStep:
    """The step of a latent consistency model (Luo et al., arXiv 2310.04378, section 4.1).

    Attributes:
        alpha, sigma: scales of clean latents and of noise at the timestep; their squares sum to 1.
        skip, out: weights of the noisy latents and of the estimate in the result.
    """

    timestep: float
    alpha: float
    sigma: float
    skip: float
    out: float
    prediction: str

    def visible(self, noise: Tensor) -> Tensor:
        return noise

    def denoised(self, noise: Tensor, output: Tensor) -> Tensor:
        match self.prediction:
            case "epsilon":
                clean = (noise - self.sigma * output) / self.alpha
            case "v_prediction":
                clean = self.alpha * noise - self.sigma * output
            case _:
                clean = output
        return self.out * clean + self.skip * noise


def find(scheduler: Any, timesteps: Sequence[int]) -> DirectStep | None:
    """Return the single step of a scheduler; None: only the pipeline can compute it.

    Args:
        scheduler: a scheduler of diffusers. Its timesteps are set.
        timesteps: the timestep of the step; empty: the scheduler chooses it.
    """
    name, settings = type(scheduler).__name__, scheduler.config
    if settings.prediction_type not in PREDICTIONS.get(name, ()):
        return None
    if name == "LCMScheduler":
        return _consistency_step(scheduler, timesteps)
    if timesteps:
        return None
    scheduler.set_timesteps(1)
    sigmas = scheduler.sigmas
    if len(sigmas) != 2 or sigmas[1] != 0:
        return None
    return EulerStep(
        float(scheduler.timesteps[0]),
        float(sigmas[0]),
        float(scheduler.init_noise_sigma),
        settings.prediction_type,
    )


def _consistency_step(scheduler: Any, timesteps: Sequence[int]) -> ConsistencyStep | None:
    if scheduler.config.thresholding or scheduler.config.clip_sample:
        return None
    scheduler.set_timesteps(1)
    timestep = int(timesteps[0] if timesteps else scheduler.timesteps[0])
    variance = float(scheduler.alphas_cumprod[timestep])
    skip, out = scheduler.get_scalings_for_boundary_condition_discrete(timestep)
    return ConsistencyStep(
        float(timestep),
        variance**0.5,
        (1 - variance) ** 0.5,
        float(skip),
        float(out),
        scheduler.config.prediction_type,
    )
