"""Post Data Augmentation (Su et al., arXiv 2408.08610): augmented copies of sampled images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Policy:
    """Operations in this order, each with its probability.

    Attributes:
        copies: default number of copies.
        flip, flip_vertical: probability of mirroring left-right, top-bottom.
        tone: probability of another contrast and brightness.
        tone_range: contrast factor 1 +- this, brightness +- this share of the maximum.
        rotate: probability of a rotation, bilinear with reflected border.
        degrees: angle +- this.
        gamma: probability of another gamma.
        gamma_range: exponent 1 +- this.
    """

    copies: int
    flip: float = 0.0
    flip_vertical: float = 0.0
    tone: float = 0.0
    tone_range: float = 0.0
    rotate: float = 0.0
    degrees: float = 0.0
    gamma: float = 0.0
    gamma_range: float = 0.0


POLICIES = {
    "none": Policy(copies=0),
    # What the published code does, without its random crop, which crops images to their own size.
    "published": Policy(
        4,
        flip=0.8,
        flip_vertical=0.8,
        tone=0.5,
        tone_range=0.2,
        rotate=0.8,
        degrees=60,
        gamma=0.5,
        gamma_range=0.2,
    ),
    # Pictures that could show the same thing: upright, slightly rotated and lit. No mirroring:
    # where it makes sense (photos), recipes with DSA mirror anyway; where it doesn't (shoes that
    # all point left), it costs accuracy.
    "default": Policy(1, tone=1, tone_range=0.1, rotate=1, degrees=10),
}
DRAWS = 9  # uniform numbers for each copy: whether and how much, brightness apart


def augment(
    images: Tensor,
    copies: int,
    policy: str | Policy,
    generator: torch.Generator | Sequence[torch.Generator],
) -> Tensor:
    """Return augmented copies of each image, every copy with parameters of its own.

    Args:
        images: uint8 [n, C, H, W].
        copies: number of copies of each image.
        policy: a `Policy` or a key of `POLICIES`.
        generator: of the CPU; one for all, or one for each image, which makes its copies
            independent of the batch.

    Returns:
        uint8 [n * copies, C, H, W]; the copies of image i begin at i * copies.

    Raises:
        ValueError: an unknown policy, or a negative number of copies.
    """
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise ValueError(f"unknown PDA policy {policy!r}; known: {', '.join(POLICIES)}")
        policy = POLICIES[policy]
    if copies < 0:
        raise ValueError(f"copies={copies}: expected 0 or more")
    if not copies or not len(images):
        return images[:0]
    draws = _uniform(len(images), copies * DRAWS, generator).view(-1, DRAWS).to(images.device)
    draw = iter(draws.unbind(1))

    def with_probability(probability: float) -> Tensor:
        return (next(draw) < probability)[:, None, None, None]

    def within(extent: float) -> Tensor:
        return ((2 * next(draw) - 1) * extent)[:, None, None, None]

    x = images.repeat_interleave(copies, 0).float()
    x = torch.where(with_probability(policy.flip), x.flip(3), x)
    x = torch.where(with_probability(policy.flip_vertical), x.flip(2), x)
    toned = x * (1 + within(policy.tone_range)) + 255 * within(policy.tone_range)
    x = torch.where(with_probability(policy.tone), toned.clamp(0, 255), x)
    x = torch.where(with_probability(policy.rotate), _rotate(x, within(policy.degrees)), x)
    x = torch.where(
        with_probability(policy.gamma),
        255 * (x / 255).clamp(0, 1) ** (1 + within(policy.gamma_range)),
        x,
    )
    return x.round().clamp(0, 255).to(torch.uint8)


def _rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate about the centre.

    ``align_corners`` makes the reflection start at the centre of the border pixels.
    """
    angle = degrees.flatten() * math.pi / 180
    zero, sin, cos = torch.zeros_like(angle), angle.sin(), angle.cos()
    matrices = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=True)


def _uniform(
    count: int, numbers: int, generator: torch.Generator | Sequence[torch.Generator]
) -> Tensor:
    """Return [count, numbers] in [0, 1)."""
    if isinstance(generator, torch.Generator):
        return torch.rand(count, numbers, generator=generator)
    if len(generator) != count:
        raise ValueError(f"expected a generator for each image: got {len(generator)} for {count}")
    return torch.stack([torch.rand(numbers, generator=source) for source in generator])
