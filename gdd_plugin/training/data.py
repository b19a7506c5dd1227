"""The real images that a training draws from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmark_adapters import datasets
from benchmark_adapters.types import Dataset, UserError


class Real:
    """A dataset's training split without its last ``held_out`` images, which are for choices.

    Attributes:
        images: uint8 [N, C, S, S], and ``labels`` [N], on the CPU; pictures drawn from them go to ``device``.
        latents: scaled latents of the images [N, c, h, w], where the training has them.
    """

    def __init__(self, dataset: Dataset, data: Path | None, held_out: int, per_class: int) -> None:
        """Reads the training split.

        Raises:
            UserError: as `datasets.load`, or a class has fewer than ``per_class`` images.
        """
        images, labels = datasets.load(dataset, "train", data)
        self.dataset, self.held_out, self.device = dataset, held_out, torch.device("cpu")
        self.sha256 = datasets.digest(images, labels)
        kept = max(0, len(images) - held_out)
        self.images, self.labels = torch.from_numpy(images[:kept].copy()), torch.from_numpy(labels[:kept].copy())
        counts = torch.bincount(self.labels, minlength=dataset.num_classes)
        if counts.min() < per_class:
            name, count = dataset.class_names[int(counts.argmin())], int(counts.min())
            raise UserError(f"{dataset.name} train, without its last {held_out} images, has {count} images of {name}; training needs {per_class} of each class")
        self.members = [torch.where(self.labels == label)[0] for label in range(dataset.num_classes)]
        self.latents: Tensor | None = None

    def draw(self, classes: Sequence[int], count: int) -> Tensor:
        """Indices of ``count`` images of each class, class by class."""
        return torch.cat([self.members[label][torch.randint(len(self.members[label]), (count,))] for label in classes])

    def pictures(self, indices: Tensor) -> Tensor:
        """float32 [n, C, S, S] in [-1, 1]."""
        return self.images[indices].to(self.device).float() / 127.5 - 1
