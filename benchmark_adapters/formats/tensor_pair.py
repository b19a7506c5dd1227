"""The formats of MTT and DD-Ranking: one file with normalised images and one with labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.errors import UserError
from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.layout import Sets, read_folders, write_folder
from benchmark_adapters.formats.normalized import (
    labels_by_position,
    own_normalisation,
    to_set,
    to_tensor,
)
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation


@dataclass(frozen=True)
class TensorPair:
    """A format of two files, with the methods that `benchmark_adapters.types.Format` needs.

    Attributes:
        images_file: name of the file with the images.
        labels_file: name of the file with the labels.
        normalisation: returns the mean and standard deviation per channel for a dataset.
        needs_labels: whether the file with the labels must exist. Without it, the images are sorted
            by class.
    """

    images_file: str
    labels_file: str
    normalisation: Callable[[Dataset], Normalisation]
    needs_labels: bool = True

    def find(self, path: Path, dataset: Dataset) -> list[Path]:
        """Return the files of a set, or an empty list if one that is needed is missing."""
        for folder in read_folders(path, dataset):
            images, labels = folder / self.images_file, folder / self.labels_file
            if images.is_file() and (labels.is_file() or not self.needs_labels):
                return [images, labels] if labels.is_file() else [images]
        return []

    def read(self, path: Path, dataset: Dataset) -> DistilledSet:
        """Read the images, and the labels if there is a file with them.

        Raises:
            UserError: a file is missing, or its content is not as expected.
        """
        files = self.find(path, dataset)
        if not files:
            needed = f" and {self.labels_file}" if self.needs_labels else ""
            raise UserError(f"{path}: no {self.images_file}{needed}")
        safe_load.check_files(files)
        images, *rest = map(safe_load.load_tensor, files)
        labels = rest[0] if rest else labels_by_position(images, dataset, files[0])
        return to_set(images, labels, dataset, self.normalisation(dataset), files[0])

    def write(self, sets: Sets, folder: Path) -> None:
        """Write both files for each set."""
        import torch

        for dataset, distilled in sets.values():
            target = write_folder(folder, sets, dataset)
            images = to_tensor(distilled, self.normalisation(dataset))
            torch.save(images, target / self.images_file)
            torch.save(torch.tensor(distilled.labels), target / self.labels_file)


def _ddranking_normalisation(dataset: Dataset) -> Normalisation:
    """Return DD-Ranking's normalisation, which treats CIFAR-100 like CIFAR-10."""
    return own_normalisation(CIFAR10 if dataset.name == "cifar100" else dataset)


MTT = TensorPair("images_best.pt", "labels_best.pt", own_normalisation)
DDRANKING = TensorPair("images.pt", "labels.pt", _ddranking_normalisation, needs_labels=False)
