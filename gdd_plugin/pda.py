"""Post Data Augmentation (Su et al., arXiv 2408.08610): augmented copies of sampled images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from gdd_plugin.transfer import to_device

if TYPE_CHECKING:
    from benchmark_adapters.types import Batch


@dataclass(frozen=True)
class Policy:
    """Augmentations, their probabilities and their ranges.

    They are applied in the order of the fields. Every amount is drawn uniformly from its range.

    Attributes:
        copies: default number of copies of each image.
        flip: probability of mirroring left-right.
        flip_vertical: probability of mirroring top-bottom.
        tone: probability of changing contrast and brightness.
        tone_range: contrast is scaled by a factor of 1 +- ``tone_range``. Brightness is shifted by
            +- ``tone_range`` times the maximum pixel value.
        rotate: probability of rotating, with bilinear interpolation and reflection at the border.
        degrees: largest angle in either direction.
        gamma: probability of changing gamma.
        gamma_range: pixel values in [0, 1] are raised to a power of 1 +- ``gamma_range``.
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
    # The published code's augmentations. Its random crop is left out, because it crops images to
    # the size that they already have.
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
    # Copies that could show the same object: upright, slightly rotated, in slightly different
    # light. They are not mirrored. Where mirroring makes sense (photos), recipes with DSA mirror
    # anyway. Where it does not (shoes that all point left), it lowers the accuracy.
    "default": Policy(1, tone=1, tone_range=0.1, rotate=1, degrees=10),
}
# Random numbers for each copy: one for each of five probabilities and four amounts (contrast,
# brightness, angle and gamma).
DRAWS = 9


def augment(
    images: Tensor,
    copies: int,
    policy: str | Policy,
    generator: torch.Generator | Sequence[torch.Generator],
) -> Tensor:
    """Return augmented copies of each image, every copy with its own random parameters.

    Args:
        images: uint8 [n, C, H, W].
        copies: number of copies of each image.
        policy: a `Policy` or a key of `POLICIES`.
        generator: one CPU generator for all images, or one for each image. With one for each image,
            copies do not depend on the batch.

    Returns:
        uint8 [n * copies, C, H, W]; the copies of image i start at index i * copies.

    Raises:
        ValueError: the policy is unknown, the number of copies is negative, or the number of
            generators does not match the number of images.
    """
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise ValueError(f"unknown PDA policy {policy!r}; known: {', '.join(POLICIES)}")
        policy = POLICIES[policy]
    if copies < 0:
        raise ValueError(f"copies={copies}: expected 0 or more")
    if not copies or not len(images):
        return images[:0]
    draws = _uniform(len(images), copies * DRAWS, generator).view(-1, DRAWS)
    draw = iter(to_device(draws, images.device).unbind(1))

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


def with_copies(
    images: Tensor,
    labels: Tensor,
    num_copies: int,
    policy: str,
    generators: Sequence[torch.Generator],
) -> Batch:
    """Return each image followed by its copies, with labels and the mask of sampled images.

    The images are moved to the CPU.
    """
    count, per_image = len(images), 1 + num_copies
    copies = augment(images, num_copies, policy, generators)
    copies = copies.unflatten(0, (count, num_copies))
    together = torch.cat([images[:, None], copies], 1).flatten(0, 1).cpu()
    is_sampled = torch.zeros(count, per_image, dtype=torch.bool)
    is_sampled[:, 0] = True
    return together, labels.repeat_interleave(per_image), is_sampled.flatten()


def _rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each image about its centre by its angle in ``degrees``.

    ``align_corners`` makes the reflection start at the centres of the border pixels.
    """
    angle = degrees.flatten() * math.pi / 180
    zero, sin, cos = torch.zeros_like(angle), angle.sin(), angle.cos()
    matrices = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=True)


def _uniform(
    count: int, numbers: int, generator: torch.Generator | Sequence[torch.Generator]
) -> Tensor:
    """Return uniform random numbers in [0, 1), float32 [count, numbers]."""
    if isinstance(generator, torch.Generator):
        return torch.rand(count, numbers, generator=generator)
    if len(generator) != count:
        raise ValueError(f"expected a generator for each image: got {len(generator)} for {count}")
    return torch.stack([torch.rand(numbers, generator=source) for source in generator])
