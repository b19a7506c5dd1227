"""Images as a sum of levels, from fine to coarse, so that one step can change large areas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 3


class Pyramid:
    """Images that are optimised at several resolutions at once.

    Attributes:
        tensors: the parameters, [n, C, S, S], [n, C, S / 2, S / 2], and so on.
    """

    def __init__(self, images: Tensor, clamp: Callable[[Tensor], Tensor]) -> None:
        """Start from ``images``, float32 [n, C, S, S]; all but the finest level are 0.

        ``clamp`` moves pixels into their range.
        """
        count, channels, size = images.shape[:3]
        sizes = [size // 2**level for level in range(1, LEVELS) if size % 2**level == 0]
        coarse = [images.new_zeros(count, channels, side, side) for side in sizes]
        self.tensors = [level.requires_grad_() for level in (images.clone(), *coarse)]
        self._clamp = clamp

    def render(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the sum of all levels, [n, C, S, S]; differentiable."""
        finest, *coarse = tensors
        size = finest.shape[-2:]
        total = finest * 1
        for level in coarse:
            total = total + F.interpolate(level, size=size, mode="bilinear")
        return total

    @torch.no_grad()
    def project(self, tensors: Sequence[Tensor]) -> None:
        """Move the sum into the range of pixels by a change of the finest level."""
        images = self.render(tensors)
        finest = tensors[0]
        finest += self._clamp(images) - images
