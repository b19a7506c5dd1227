"""Where the files of distilled sets lie in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, DistilledSet

Sets = Mapping[str, tuple[Dataset, DistilledSet]]  # by the name of the dataset


def write_folder(root: Path, sets: Sets, dataset: Dataset) -> Path:
    """Return the folder for a set, which exists: ``root``, or one for each of several sets."""
    folder = root if len(sets) == 1 else root / dataset.name
    folder.mkdir(exist_ok=True)
    return folder


def read_folders(root: Path, dataset: Dataset) -> tuple[Path, Path]:
    """Return the folders in which a set may be, the more specific one first."""
    return root / dataset.name, root


def only_file(path: Path, files: list[Path], expected: str) -> Path:
    """Return the only file of ``files``, which were found at ``path``.

    Raises:
        UserError: there is no or more than one file.
    """
    if len(files) != 1:
        raise UserError(f"{path}: {'no' if not files else 'more than one'} {expected}")
    return files[0]
