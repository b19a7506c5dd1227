"""Images as a generator makes them, so that refined images stay in its range."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Noise:
    """The noise from which a generator makes images.

    Attributes:
        tensors: the noise, [n, c, h, w], alone.
    """

    def __init__(self, noise: Tensor, render: Callable[[Tensor], Tensor]) -> None:
        """Start from ``noise``, which ``render`` turns into normalised images."""
        self.tensors = [noise.clone().requires_grad_()]
        self._render = render
        self._norm = noise.flatten(1).norm(dim=1)

    def render(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the images, [n, C, S, S]; differentiable."""
        return self._render(tensors[0])

    @torch.no_grad()
    def project(self, tensors: Sequence[Tensor]) -> None:
        """Scale the noise of each image to the norm that it had at first.

        Gaussian noise of many dimensions always has about the same norm, so the generator was
        trained on no other.
        """
        (noise,) = tensors
        noise *= (self._norm / noise.flatten(1).norm(dim=1))[:, None, None, None]
