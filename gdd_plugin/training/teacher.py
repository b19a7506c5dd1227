"""The teacher: a diffusion model of the latents, trained as usual."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from gdd_plugin.training.data import Real
from gdd_plugin.training.denoiser import Denoiser, Prompts
from gdd_plugin.training.journal import Journal, Schedule, Stage

CLASSES = 8  # per step


def train_teacher(
    denoiser: Denoiser,
    real: Real,
    latents: Tensor,
    prompts: Prompts,
    chosen: Schedule,
    journal: Journal,
) -> Denoiser:
    """Trains ``denoiser`` to find the clean ``latents`` of ``real`` [N, c, h, w] in noisy ones at uniform times; returns a frozen copy.

    The error of the clean estimate is weighted by 1 / sigma^2, which makes it the error of v (Salimans & Ho 2022, appendix D).
    """
    stage = Stage(journal, "teacher", chosen.steps, denoiser, chosen.lr, ema=chosen.ema)
    for _ in stage:
        classes = torch.randperm(real.dataset.num_classes)[:CLASSES].tolist()
        clean = latents[real.draw(classes, chosen.batch // len(classes))].to(real.device)
        timesteps = torch.randint(1000, (len(clean),), device=real.device)
        noisy = denoiser.noised(clean, torch.randn_like(clean), timesteps)
        error = (
            (stage.net(noisy, timesteps, prompts.draw(classes)) - clean).square().flatten(1).mean(1)
        )
        stage.learn((error / denoiser.sigma[timesteps] ** 2).mean())
    return copy.deepcopy(denoiser).eval().requires_grad_(False)
