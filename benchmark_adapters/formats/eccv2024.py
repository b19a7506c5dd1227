"""The ECCV 2024 challenge's files: one normalised tensor per dataset, with implicit labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.layout import Sets, only_file
from benchmark_adapters.formats.normalized import (
    labels_by_position,
    own_normalisation,
    to_set,
    to_tensor,
)
from benchmark_adapters.types import Dataset, DistilledSet

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


def find(path: Path, dataset: Dataset) -> list[Path]:
    """Return the file at ``path``, or the dataset's file in the folder ``path``."""
    file = path if path.is_file() else path / f"{_file_name(dataset)}.pt"
    return [file] if file.is_file() else []


def read(path: Path, dataset: Dataset) -> DistilledSet:
    """Read a tensor with the same number of images for each class, sorted by class.

    Raises:
        UserError: there is no file, or its content is not as expected.
    """
    file = only_file(path, find(path, dataset), f"{_file_name(dataset)}.pt")
    images = safe_load.load_tensor(file)
    labels = labels_by_position(images, dataset, file)
    return to_set(images, labels, dataset, own_normalisation(dataset), file)


def write(sets: Sets, folder: Path) -> None:
    """Write ``NAME.pt`` for each set."""
    import torch

    for dataset, distilled in sets.values():
        images = to_tensor(distilled, own_normalisation(dataset))
        torch.save(images, folder / f"{_file_name(dataset)}.pt")


def write_truth(tests: Mapping[str, tuple[Dataset, tuple[Array, Array]]], folder: Path) -> None:
    """Write the real test images for the evaluator, as ``NAME_test.pt``."""
    import torch

    from benchmark_adapters.scoring.images import normalise

    for dataset, (images, labels) in tests.values():
        truth = {"images_val": normalise(images, dataset), "labels_val": torch.tensor(labels)}
        torch.save(truth, folder / f"{_file_name(dataset)}_test.pt")


def _file_name(dataset: Dataset) -> str:
    return dataset.name.replace("-", "")
