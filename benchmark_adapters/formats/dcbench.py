"""DC-BENCH's files: ``{"data": [[images, labels], ...]}``. The last pair is the distilled set."""

from __future__ import annotations

from pathlib import Path

from benchmark_adapters.errors import UserError
from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.layout import Sets, only_file
from benchmark_adapters.formats.normalized import own_normalisation, to_set, to_tensor
from benchmark_adapters.types import Dataset, DistilledSet

# Dataset names in file names. Other datasets use their ddbench name without hyphens.
DATASET_NAMES = {
    "fashion-mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "tiny-imagenet": "TinyImageNet",
}


def find(path: Path, dataset: Dataset) -> list[Path]:
    """Return the file at ``path``, or the files of the dataset in the folder ``path``."""
    if path.is_file():
        return [path]
    name = dataset.name.replace("-", "")
    files = path.glob("res_*_ConvNet_*ipc.pt")
    return sorted(file for file in files if f"_{name}_" in file.name.lower())


def read(path: Path, dataset: Dataset) -> DistilledSet:
    """Read the last pair of normalised images and labels.

    Raises:
        UserError: there is no file or more than one, or its content is not as expected.
    """
    expected = f"res_METHOD_{_dataset_name(dataset)}_ConvNet_Nipc.pt"
    file = only_file(path, find(path, dataset), expected)
    content = safe_load.load_tensors(file)
    pairs = content.get("data") if isinstance(content, dict) else None
    last = pairs[-1] if isinstance(pairs, list) and pairs else None
    if not isinstance(last, list | tuple) or len(last) != 2:
        raise UserError(f"{file}: expected {{'data': [[images, labels], ...]}}")
    images = safe_load.check_tensor(last[0], file, "images")
    labels = safe_load.check_tensor(last[1], file, "labels")
    return to_set(images, labels, dataset, own_normalisation(dataset), file)


def write(sets: Sets, folder: Path) -> None:
    """Write ``res_METHOD_DATASET_ConvNet_Nipc.pt`` for each set."""
    import torch

    for dataset, distilled in sets.values():
        method = str(distilled.provenance.get("method", "set"))
        method = "".join(c for c in method if c.isalnum() or c in ".-") or "set"
        name = f"res_{method}_{_dataset_name(dataset)}_ConvNet_{distilled.ipc}ipc.pt"
        images = to_tensor(distilled, own_normalisation(dataset))
        torch.save({"data": [[images, torch.tensor(distilled.labels)]]}, folder / name)


def _dataset_name(dataset: Dataset) -> str:
    return DATASET_NAMES.get(dataset.name, dataset.name.replace("-", ""))
