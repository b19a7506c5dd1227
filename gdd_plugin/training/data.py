"""The real images used in training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from benchmark_adapters import datasets
from benchmark_adapters.types import Dataset, UserError
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


class RealImages:
    """A dataset's training split, except for the last images of each class, which are held out.

    Attributes:
        images: uint8 [N, C, S, S] on the CPU.
        labels: int64 [N] on the CPU.
        held_out: images uint8 [M, C, S, S] and labels int64 [M], as numpy arrays.
        trained_on: description of the images.
        sha256: hash of the whole training split.
        device: torch device of the pictures that `pictures` returns.
        latents: scaled latents of the images, [N, c, h, w]; None if training does not use them.
    """

    def __init__(self, dataset: Dataset, data: Path | None, held_out: int, per_class: int) -> None:
        """Read the training split.

        Args:
            dataset: the dataset to read.
            data: folder that contains the dataset; None: `datasets.load` searches for it.
            held_out: number of images to hold out, equally many of each class.
            per_class: minimum number of remaining images of each class.

        Raises:
            UserError: the data cannot be read, or a class has too few images.
        """
        images, labels = datasets.load(dataset, "train", data)
        self.dataset, self.device = dataset, torch.device("cpu")
        self.sha256 = datasets.digest(images, labels)
        last = held_out // dataset.num_classes
        is_held_out = _last_of_each_class(labels, dataset.num_classes, last)
        self.held_out = images[is_held_out], labels[is_held_out]
        images_left_out = f"{last} {plural(last, 'image')} of each class"
        self.trained_on = f"{dataset.name} train, without the last {images_left_out}"
        self.images = torch.from_numpy(images[~is_held_out])
        self.labels = torch.from_numpy(labels[~is_held_out])
        self.members = [
            torch.where(self.labels == label)[0] for label in range(dataset.num_classes)
        ]
        self.latents: Tensor | None = None
        self._check_counts(per_class)

    def _check_counts(self, per_class: int) -> None:
        for name, members in zip(self.dataset.class_names, self.members, strict=True):
            if len(members) < per_class:
                raise UserError(
                    f"too few images of class {name}: {len(members)} in {self.trained_on}; "
                    f"training needs {per_class} of each class"
                )

    def draw(self, classes: Sequence[int], count: int) -> Tensor:
        """Draw ``count`` images of each class and return their indices, class by class."""
        return torch.cat(
            [
                self.members[label][torch.randint(len(self.members[label]), (count,))]
                for label in classes
            ]
        )

    def pictures(self, indices: Tensor) -> Tensor:
        """Return images as float32 [n, C, S, S] in [-1, 1] on the device."""
        return self.images[indices].to(self.device).float() / 127.5 - 1


def _last_of_each_class(labels: Array, num_classes: int, count: int) -> Array:
    """Return a mask of the last ``count`` images of each class, bool [N].

    Some datasets are sorted by class, so the last images of the whole split would not work.
    """
    is_last = np.zeros(len(labels), dtype=bool)
    for label in range(num_classes):
        members = np.flatnonzero(labels == label)
        is_last[members[max(0, len(members) - count) :]] = True
    return is_last
