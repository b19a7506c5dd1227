"""The loss terms of the student and the discriminator.

ADD refers to Sauer et al., *Adversarial Diffusion Distillation* (arXiv 2311.17042). ``generated``
are the student's one-step samples. A discriminator head has one output for each sample and
position, [n, positions], which is higher for samples that look real.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def hinge_generator(outputs: Sequence[Tensor]) -> Tensor:
    """Return the generator's adversarial loss (ADD eq. 2).

    It is the negative mean of each head's outputs [n, positions] on samples, summed over the heads.
    """
    return torch.stack([-output.mean() for output in outputs]).sum()


def hinge_discriminator(real: Sequence[Tensor], generated: Sequence[Tensor]) -> Tensor:
    """Return the discriminator's loss (ADD eq. 3) without the gradient penalty.

    It is the mean of max(0, 1 - D(real)) plus the mean of max(0, 1 + D(generated)), summed over the
    heads. The outputs of each head are [n, positions].
    """
    return torch.stack(
        [
            (1 - x).relu().mean() + (1 + y).relu().mean()
            for x, y in zip(real, generated, strict=True)
        ]
    ).sum()


def r1_penalty(outputs: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """Return the R1 penalty (Mescheder et al. 2018, eq. 9) on each head's input, as in ADD.

    It is half the squared norm of d(sum of a sample's outputs) / d(its features), averaged over the
    real samples and summed over the heads.

    Args:
        outputs: outputs of each head, [n, positions].
        features: inputs of each head, [n or more, ...]; they must require gradients.
    """
    penalties = []
    for output, feature in zip(outputs, features, strict=True):
        (gradient,) = torch.autograd.grad(output.sum(), feature, create_graph=True)
        penalties.append(gradient.square().sum() / len(output) / 2)
    return torch.stack(penalties).sum()


def distillation(generated: Tensor, teacher: Tensor, alpha: Tensor) -> Tensor:
    """Return the distillation loss (ADD eq. 4).

    It is c(t) |student - stopgrad(teacher)|^2 with the exponential weight c(t) = alpha_t, averaged
    over samples and elements.

    Args:
        generated: the student's latents, [n, c, h, w].
        teacher: the teacher's estimate of the clean latents, after noise was added to
            ``generated``, [n, c, h, w].
        alpha: scale of the signal after adding that noise, [n], in (0, 1].
    """
    return (alpha * (generated - teacher.detach()).square().flatten(1).mean(1)).mean()


def energy_distance(generated: Tensor, real: Tensor) -> Tensor:
    """Return the relative energy distance (Székely & Rizzo 2013, eq. 2.1) of each group.

    It is 2 E|x - y| - E|x - x'| - E|y - y'|, divided by E|y - y'| so that every feature has the
    same weight. It is 0 if the distributions agree. Means over pairs of different points make it
    unbiased.

    Args:
        generated: [k, g, d].
        real: [k, r, d].

    Returns:
        [k].
    """
    between = torch.cdist(generated, real).mean((1, 2))
    return (2 * between - spread(generated)) / spread(real).detach().clamp_min(1e-6) - 1


def spread(points: Tensor) -> Tensor:
    """Return the mean distance between different points of each group, [k, n, d] to [k]."""
    count = points.shape[1]
    return (torch.cdist(points, points) * (1 - torch.eye(count, device=points.device))).sum(
        (1, 2)
    ) / (count * (count - 1))
