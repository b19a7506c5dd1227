"""Train the teacher, a diffusion model of the latents."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from gdd_plugin.training.data import RealImages
from gdd_plugin.training.loop import TrainingLoop
from gdd_plugin.training.networks import Denoiser
from gdd_plugin.training.prompts import PromptSampler
from gdd_plugin.training.run import TrainingRun
from gdd_plugin.training.settings import StageSettings

# Number of classes per step.
CLASSES = 8


def train_teacher(
    denoiser: Denoiser,
    images: RealImages,
    latents: Tensor,
    prompts: PromptSampler,
    settings: StageSettings,
    run: TrainingRun,
) -> Denoiser:
    """Train ``denoiser`` to estimate clean latents from noisy ones at uniform timesteps.

    The error of the estimate is weighted by 1 / sigma^2, which makes it the error of v (Salimans &
    Ho 2022, appendix D).

    Args:
        denoiser: network to train in place.
        images: the real images.
        latents: scaled latents of the images, [N, c, h, w].
        prompts: the prompts of the classes.
        settings: settings of this stage.
        run: the training run.

    Returns:
        A frozen copy of the trained network.

    Raises:
        UserError: see `TrainingLoop`.
    """
    loop = TrainingLoop(run, "teacher", settings.steps, denoiser, settings.lr, ema=settings.ema)
    for _ in loop:
        classes = torch.randperm(images.dataset.num_classes)[:CLASSES].tolist()
        indices = images.draw(classes, settings.batch // len(classes))
        clean = latents[indices].to(images.device)
        timesteps = torch.randint(1000, (len(clean),), device=images.device)
        noisy = denoiser.add_noise(clean, torch.randn_like(clean), timesteps)
        estimate = loop.network(noisy, timesteps, prompts.draw(classes))
        error = (estimate - clean).square().flatten(1).mean(1)
        loop.update((error / denoiser.sigma[timesteps] ** 2).mean())
    return copy.deepcopy(denoiser).eval().requires_grad_(False)
