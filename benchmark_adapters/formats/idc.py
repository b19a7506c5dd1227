"""IDC's ``data.pt``: the images, in [0, 1], and the labels.

IDC can pack several pictures into one image (its ``factor``) and unpacks them before training.
The file does not say so; images are read as they are.
"""

from __future__ import annotations

from pathlib import Path

from benchmark_adapters.errors import UserError
from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.layout import Sets, only_file, read_folders, write_folder
from benchmark_adapters.formats.normalized import to_set, to_tensor
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation

FILE = "data.pt"


def find(path: Path, dataset: Dataset) -> list[Path]:
    """Return the file at ``path``, or ``data.pt`` in the folder ``path``."""
    if path.is_file():
        return [path]
    files = [folder / FILE for folder in read_folders(path, dataset)]
    return [file for file in files if file.is_file()][:1]


def read(path: Path, dataset: Dataset) -> DistilledSet:
    """Read images and labels.

    Raises:
        UserError: there is no file, or its content is not as expected.
    """
    file = only_file(path, find(path, dataset), FILE)
    content = safe_load.load_tensors(file)
    if not isinstance(content, list | tuple) or len(content) != 2:
        raise UserError(f"{file}: expected [images, labels]")
    images = safe_load.check_tensor(content[0], file, "images")
    labels = safe_load.check_tensor(content[1], file, "labels")
    return to_set(images, labels, dataset, _unit_range(dataset), file)


def write(sets: Sets, folder: Path) -> None:
    """Write ``data.pt`` for each set."""
    import torch

    for dataset, distilled in sets.values():
        images = to_tensor(distilled, _unit_range(dataset))
        target = write_folder(folder, sets, dataset)
        torch.save([images, torch.tensor(distilled.labels)], target / FILE)


def _unit_range(dataset: Dataset) -> Normalisation:
    """Return the normalisation of images in [0, 1]."""
    return (0.0,) * dataset.channels, (1.0,) * dataset.channels
