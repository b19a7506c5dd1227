"""Real training images: one part to improve a set with, another to choose between sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from benchmark_adapters.types import Task

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

# Images of each class that are held out, and the largest share of a class that they may be.
HELD_OUT = 500
MAX_HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class RealImages:
    """Real images as students see them.

    Attributes:
        pixels: uint8 [N, C, S, S] on the CPU.
        labels: int64 [N] on the CPU.
        held_out: pixels uint8 [M, C, S, S] and labels int64 [M] on the CPU, of other images.
        mean: mean per channel of pixels in [0, 1], [C, 1, 1].
        std: standard deviation per channel, [C, 1, 1].
        device: torch device of the images that are returned.
    """

    pixels: Tensor
    labels: Tensor
    held_out: tuple[Tensor, Tensor]
    mean: Tensor
    std: Tensor
    device: str

    @classmethod
    def of(cls, task: Task, holds_out: bool = True) -> RealImages:
        """Read the task's training images; ``holds_out`` leaves out the last of each class.

        Raises:
            UserError: the track does not allow real training images, or they are missing.
        """
        images, labels = task.training_images()
        is_held_out = np.zeros(len(labels), bool)
        if holds_out:
            is_held_out = _last_of_each_class(np.asarray(labels), task.dataset.num_classes)
        pixels, classes = torch.from_numpy(images), torch.from_numpy(np.asarray(labels))
        mask = torch.from_numpy(is_held_out)
        assert task.recipe
        mean, std = task.recipe.normalises(task.dataset)
        return cls(
            pixels[~mask],
            classes[~mask],
            (pixels[mask], classes[mask]),
            torch.tensor(mean, device=task.device)[:, None, None],
            torch.tensor(std, device=task.device)[:, None, None],
            task.device,
        )

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return uint8 images [n, C, S, S] as float32, normalised, on the device."""
        return (pixels.to(self.device).float() / 255 - self.mean) / self.std

    def to_pixels(self, images: Tensor) -> Tensor:
        """Return normalised images [n, C, S, S] as uint8 on the CPU, rounded and clipped."""
        return ((images.detach() * self.std + self.mean) * 255).round().clamp(0, 255).byte().cpu()

    def clamp(self, images: Tensor) -> Tensor:
        """Return normalised images with every pixel moved into the range of uint8."""
        low, high = -self.mean / self.std, (1 - self.mean) / self.std
        return torch.minimum(torch.maximum(images, low), high)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw ``count`` images, or all if there are fewer, normalised, with their labels."""
        size = len(self.labels)
        indices = torch.from_numpy(rng.permutation(size)[: min(count, size)])
        return self.normalise(self.pixels[indices]), self.labels[indices].to(self.device)


def _last_of_each_class(labels: Array, num_classes: int) -> Array:
    """Return a mask of the images that are held out, bool [N]."""
    mask = np.zeros(len(labels), bool)
    for label in range(num_classes):
        members = np.flatnonzero(labels == label)
        count = min(HELD_OUT, int(len(members) * MAX_HELD_OUT_SHARE))
        mask[members[len(members) - count :]] = True
    return mask
