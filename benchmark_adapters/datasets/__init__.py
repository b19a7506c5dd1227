"""Real datasets: find, load and download their files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from benchmark_adapters.datasets.cifar import CIFAR10 as CIFAR10
from benchmark_adapters.datasets.cifar import CIFAR100 as CIFAR100
from benchmark_adapters.datasets.fashion_mnist import FASHION_MNIST as FASHION_MNIST
from benchmark_adapters.datasets.fashion_mnist import read_idx as read_idx
from benchmark_adapters.datasets.tiny_imagenet import TINY_IMAGENET as TINY_IMAGENET
from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.types import Dataset, Split, resolve

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


def find(dataset: Dataset, data: Path | None = None) -> Path:
    """Return the folder that holds a dataset.

    The search covers ``data`` or else ``$DDBENCH_DATA``, then the folders of Linux distribution
    packages, then the user's data folder.

    Raises:
        UserError: ``data`` is not a folder, or the dataset was not found; the message then says
            how to get it.
    """
    if dataset.folder:
        return dataset.folder
    if data and not data.is_dir():
        raise UserError(f"--data {data} is not a folder")
    folders = list(_search_path(dataset, data))
    for folder in folders:
        if any(next(folder.glob(marker), None) for marker in dataset.markers):
            return folder
    searched = ", ".join(map(str, folders))
    raise UserError(f"dataset {dataset.name} was not found in {searched}; {dataset.get}")


def user_folder() -> Path:
    """Return the default folder for downloads of ``ddbench data NAME --download``."""
    return Path(platformdirs.user_data_dir("ddbench"))


def load(
    dataset: Dataset, split: Split, data: Path | None = None, bundled: bool = False
) -> tuple[Array, Array]:
    """Return one split: images uint8 [N, C, H, W] and labels int64 [N].

    Args:
        dataset: the dataset to load.
        split: ``train`` or ``test``.
        data: folder to search, as in `find`.
        bundled: whether to read the files bundled with this package instead. A dataset with a
            folder of its own has none.

    Raises:
        UserError: files are missing or damaged, or do not fit the dataset.
    """
    # Not at the top, because it imports numpy.
    from benchmark_adapters.distilled import validate

    bundled = bundled and dataset.folder is None
    if bundled and dataset.bundled is None:
        raise UserError(
            f"dataset {dataset.name} is not bundled; choose a track that reads the full dataset"
        )
    folder = dataset.bundled if bundled and dataset.bundled else find(dataset, data)
    try:
        images, labels = resolve(dataset.read)(folder, split)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from None
    validate(images, labels, dataset, f"{folder}: {dataset.name} {split} has")
    return images, labels


def download(dataset: Dataset, data: Path | None = None) -> Path:
    """Download the published files to ``data`` or the user's data folder; return their folder.

    torchvision downloads the files and verifies their MD5.

    Raises:
        UserError: torchvision can't download this dataset, or the download failed.
    """
    if dataset.folder:
        raise UserError(f"{dataset.name} is a folder of your own, so there is nothing to download")
    if dataset.download is None:
        raise UserError(f"{dataset.name} has no automatic download; {dataset.get}")
    folder = (data or user_folder()) / dataset.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        resolve(dataset.download)(folder)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{dataset.name} could not be downloaded to {folder}: {one_line(error)}"
        ) from None
    return folder


def digest(images: Array, labels: Array) -> str:
    """Return the SHA-256 of pixels and labels, which does not depend on how files are stored."""
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def _search_path(dataset: Dataset, data: Path | None) -> Iterator[Path]:
    root = data or (Path(os.environ["DDBENCH_DATA"]) if os.environ.get("DDBENCH_DATA") else None)
    if root:
        yield from (root / dataset.name, root)
    yield from map(Path, dataset.system_folders)
    yield user_folder() / dataset.name
