"""The terms of the student's and the discriminator's loss.

ADD is Sauer et al., *Adversarial Diffusion Distillation* (arXiv 2311.17042). ``generated`` are the student's
one-step samples; heads give one output per sample and place, [n, places], higher for what looks real.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def hinge_generator(outputs: Sequence[Tensor]) -> Tensor:
    """ADD eq. 2, the generator's adversarial loss: minus the mean of each head's outputs [n, places] on samples, summed over heads."""
    return torch.stack([-output.mean() for output in outputs]).sum()


def hinge_discriminator(real: Sequence[Tensor], generated: Sequence[Tensor]) -> Tensor:
    """ADD eq. 3 without its penalty: mean of max(0, 1 - D(real)) plus mean of max(0, 1 + D(generated)), summed over heads [n, places]."""
    return torch.stack(
        [
            (1 - x).relu().mean() + (1 + y).relu().mean()
            for x, y in zip(real, generated, strict=True)
        ]
    ).sum()


def r1_penalty(outputs: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """R1 (Mescheder et al. 2018, eq. 9) as ADD takes it: on each head's own input instead of the pixels.

    Half of the squared norm of d(sum of a sample's outputs) / d(its features), mean over real samples, summed over heads;
    ``outputs`` [n, places] were computed from ``features`` [n or more, ...], which need gradients.
    """
    penalties = []
    for output, feature in zip(outputs, features, strict=True):
        (gradient,) = torch.autograd.grad(output.sum(), feature, create_graph=True)
        penalties.append(gradient.square().sum() / len(output) / 2)
    return torch.stack(penalties).sum()


def distillation(generated: Tensor, teacher: Tensor, alpha: Tensor) -> Tensor:
    """ADD eq. 4: c(t) |student - stopgrad(teacher)|^2 with the exponential weight c(t) = alpha_t, mean over samples and elements.

    Args:
        generated: the student's latents [n, c, h, w].
        teacher: the teacher's estimate of clean latents from the re-noised ``generated``.
        alpha: the signal's share at the time that each was re-noised to, [n], in (0, 1].
    """
    return (alpha * (generated - teacher.detach()).square().flatten(1).mean(1)).mean()


def energy_distance(generated: Tensor, real: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'| for each group, over E|y - y'|, so that every feature weighs the same.

    The energy distance (Székely & Rizzo 2013, eq. 2.1) by means over different points, which are unbiased, from ``generated`` [k, g, d]
    and ``real`` [k, r, d]; the result is [k]. It is 0 where the two distributions agree.
    """
    between = torch.cdist(generated, real).mean((1, 2))
    return (2 * between - spread(generated)) / spread(real).detach().clamp_min(1e-6) - 1


def spread(points: Tensor) -> Tensor:
    """Mean distance between two different points of each group: [k, n, d] to [k]."""
    count = points.shape[1]
    return (torch.cdist(points, points) * (1 - torch.eye(count, device=points.device))).sum(
        (1, 2)
    ) / (count * (count - 1))
