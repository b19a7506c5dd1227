"""Results of DC, DSA, DM and DC-BENCH: ``{"data": [[images, labels], ...], ...}``.

The last pair is the distilled set.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmark_adapters.errors import UserError
from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.layout import Sets, only_file
from benchmark_adapters.formats.normalized import own_normalisation, to_set, to_tensor
from benchmark_adapters.types import Dataset, DistilledSet

# Names of datasets and networks in file names, as DC-BENCH's loaders build them. Other datasets
# use their ddbench name without hyphens, and the first network.
DATASET_NAMES = {
    "fashion-mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "tiny-imagenet": "tinyimagenet",
}
NETWORKS = {"tiny-imagenet": "ConvNetD4"}
# Further names that tools use for a dataset.
ALIASES = {"tiny-imagenet": ("tiny",)}


def find(path: Path, dataset: Dataset) -> list[Path]:
    """Return the file at ``path``, or the files of the dataset in the folder ``path``.

    Files are named after networks of any depth.
    """
    if path.is_file():
        return [path]
    aliases = map(re.escape, [dataset.name, *ALIASES.get(dataset.name, ())])
    names = "|".join(aliases).replace(r"\-", "[-_]?")
    pattern = re.compile(rf"res_.+_({names})_ConvNet[^_]*_\d+ipc\.pt", re.IGNORECASE)
    return sorted(file for file in path.glob("res_*.pt") if pattern.fullmatch(file.name))


def read(path: Path, dataset: Dataset) -> DistilledSet:
    """Read the last pair of normalised images and labels.

    Raises:
        UserError: there is no file or more than one, or its content is not as expected.
    """
    expected = _file_name("METHOD", dataset, "N")
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
    """Write a file for each set, with the name that DC-BENCH's loaders build."""
    import torch

    for dataset, distilled in sets.values():
        method = str(distilled.provenance.get("method", "set"))
        method = "".join(c for c in method if c.isalnum() or c in ".-") or "set"
        name = _file_name(method.upper(), dataset, str(distilled.ipc))
        images = to_tensor(distilled, own_normalisation(dataset))
        torch.save({"data": [[images, torch.tensor(distilled.labels)]]}, folder / name)


def _file_name(method: str, dataset: Dataset, ipc: str) -> str:
    name = DATASET_NAMES.get(dataset.name, dataset.name.replace("-", ""))
    return f"res_{method}_{name}_{NETWORKS.get(dataset.name, 'ConvNet')}_{ipc}ipc.pt"
