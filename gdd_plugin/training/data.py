"""The real images that a training draws from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark_adapters import datasets
from benchmark_adapters.types import Dataset, UserError


class Real:
    """A dataset's training split without the last images of each class, which are for choices.

    Attributes:
        images: uint8 [N, C, S, S], and ``labels`` [N], on the CPU; pictures drawn from them go to ``device``.
        unseen: the held-out images, uint8 [M, C, S, S], and their labels, int64 [M], as numpy arrays.
        trained_on: what the images are, in words.
        latents: scaled latents of the images [N, c, h, w], where the training has them.
    """

    def __init__(self, dataset: Dataset, data: Path | None, held_out: int, per_class: int) -> None:
        """Reads the training split; of ``held_out`` images every class gives the same number.

        Raises:
            UserError: as `datasets.load`, or a class has fewer than ``per_class`` images.
        """
        images, labels = datasets.load(dataset, "train", data)
        self.dataset, self.device = dataset, torch.device("cpu")
        self.sha256 = datasets.digest(images, labels)
        each = held_out // dataset.num_classes
        held = np.zeros(len(labels), dtype=bool)
        for label in range(
            dataset.num_classes
        ):  # class by class, since some datasets' files are sorted
            members = np.flatnonzero(labels == label)
            held[members[max(0, len(members) - each) :]] = True
        self.unseen = images[held], labels[held]
        self.trained_on = f"{dataset.name} train, without the last {each} images of each class"
        self.images, self.labels = torch.from_numpy(images[~held]), torch.from_numpy(labels[~held])
        counts = torch.bincount(self.labels, minlength=dataset.num_classes)
        if counts.min() < per_class:
            name, count = dataset.class_names[int(counts.argmin())], int(counts.min())
            raise UserError(
                f"{self.trained_on}, has {count} images of {name}; training needs {per_class} of each class"
            )
        self.members = [
            torch.where(self.labels == label)[0] for label in range(dataset.num_classes)
        ]
        self.latents: Tensor | None = None

    def draw(self, classes: Sequence[int], count: int) -> Tensor:
        """Indices of ``count`` images of each class, class by class."""
        return torch.cat(
            [
                self.members[label][torch.randint(len(self.members[label]), (count,))]
                for label in classes
            ]
        )

    def pictures(self, indices: Tensor) -> Tensor:
        """float32 [n, C, S, S] in [-1, 1]."""
        return self.images[indices].to(self.device).float() / 127.5 - 1
