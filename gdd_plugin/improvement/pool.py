"""A pool of sampled images, to select a set from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark_adapters.types import Replacement

if TYPE_CHECKING:
    from benchmark_adapters.types import Batch


@dataclass(frozen=True)
class Pool:
    """Sampled images, class by class, equally many of each class.

    Attributes:
        pixels: uint8 [n, C, S, S].
        labels: int64 [n].
        per_class: number of images of each class.
    """

    pixels: Tensor
    labels: Tensor
    per_class: int

    @classmethod
    def of(cls, batches: Sequence[Batch], num_classes: int) -> Pool:
        """Return the images of batches, as many of each class as the smallest class has.

        The images of a class keep their order.
        """
        pixels = torch.cat([torch.as_tensor(batch[0]) for batch in batches])
        labels = torch.cat([torch.as_tensor(batch[1]) for batch in batches])
        smallest = int(torch.bincount(labels, minlength=num_classes).min())
        kept = torch.cat(
            [torch.where(labels == label)[0][:smallest] for label in range(num_classes)]
        )
        return cls(pixels[kept], labels[kept], smallest)

    def first(self, ipc: int) -> list[int]:
        """Return the indices of the first ``ipc`` images of each class."""
        return [index for index in range(len(self.labels)) if index % self.per_class < ipc]

    def key(self, index: int) -> tuple[int, int]:
        """Return the label of an image, and its index within the class."""
        return int(self.labels[index]), index % self.per_class

    def replacement(self, indices: list[int]) -> Replacement:
        """Return the set of these images."""
        return Replacement(self.pixels[indices], self.labels[indices])
