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
        """Return the files of a set, or an empty list if one that is needed is missing.

        ``path`` is a folder or one of the files.
        """
        if path.is_file():
            return self._pair(*_partners(path))
        folders = read_folders(path, dataset)
        pairs = (self._pair(one / self.images_file, one / self.labels_file) for one in folders)
        return next(filter(None, pairs), [])

    def _pair(self, images: Path, labels: Path) -> list[Path]:
        """Return those of the two files that make a set; empty if one that is needed is missing."""
        has_labels = labels.is_file() and labels != images
        if not images.is_file() or (self.needs_labels and not has_labels):
            return []
        return [images, labels] if has_labels else [images]

    def read(self, path: Path, dataset: Dataset) -> DistilledSet:
        """Read the images, and the labels if there is a file with them.

        Raises:
            UserError: a file is missing, or its content is not as expected.
        """
        files = self.find(path, dataset)
        if not files:
            raise UserError(f"{path}: {self._missing(path)}")
        safe_load.check_files(files)
        images, *rest = map(safe_load.load_tensor, files)
        labels = rest[0] if rest else labels_by_position(images, dataset, files[0])
        return to_set(images, labels, dataset, self.normalisation(dataset), files[0])

    def _missing(self, path: Path) -> str:
        """Return which files are missing at ``path``."""
        if not path.is_file():
            needed = f" and {self.labels_file}" if self.needs_labels else ""
            return f"no {self.images_file}{needed}"
        images, labels = _partners(path)
        if images == labels:
            return f"named neither like {self.images_file} nor like {self.labels_file}"
        return f"no {(labels if images.is_file() else images).name} beside it"

    def write(self, sets: Sets, folder: Path) -> None:
        """Write both files for each set."""
        import torch

        for dataset, distilled in sets.values():
            target = write_folder(folder, sets, dataset)
            images = to_tensor(distilled, self.normalisation(dataset))
            torch.save(images, target / self.images_file)
            torch.save(torch.tensor(distilled.labels), target / self.labels_file)


def _partners(path: Path) -> tuple[Path, Path]:
    """Return the files with images and labels, if ``path`` is one of them.

    Their names differ by these words: images_5000.pt belongs to labels_5000.pt. They are the same
    file if its name has neither.
    """
    name = path.name
    images, labels = name.replace("labels", "images", 1), name.replace("images", "labels", 1)
    return path.with_name(images), path.with_name(labels)


def _ddranking_normalisation(dataset: Dataset) -> Normalisation:
    """Return DD-Ranking's normalisation, which treats CIFAR-100 like CIFAR-10."""
    return own_normalisation(CIFAR10 if dataset.name == "cifar100" else dataset)


MTT = TensorPair("images_best.pt", "labels_best.pt", own_normalisation)
DDRANKING = TensorPair("images.pt", "labels.pt", _ddranking_normalisation, needs_labels=False)
