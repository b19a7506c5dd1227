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

# Missing files that a message names.
MAX_NAMED = 5

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
    searched = ", ".join(dict.fromkeys(map(str, folders)))
    raise UserError(f"dataset {dataset.name} was not found in {searched}; {dataset.get}")


def require_complete(dataset: Dataset, folder: Path, split: Split) -> None:
    """Raise `UserError`, which names what is missing, unless a folder has all files of a split."""
    if text := lacking(dataset, folder, split):
        raise UserError(f"{text}; {dataset.get}")


def lacking(dataset: Dataset, folder: Path, split: Split) -> str:
    """Return a line that names the files which a folder lacks of a split; "": it has them all."""
    names = resolve(dataset.missing)(folder, split) if dataset.missing else []
    if not names:
        return ""
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return (
        f"{folder}: {dataset.name} is incomplete; its {split} split lacks "
        f"{', '.join(names[:MAX_NAMED])}{more}"
    )


def overlooked(dataset: Dataset, data: Path | None, folder: Path) -> str:
    """Return a line if a dataset is used from another folder than the user named; else "".

    Args:
        dataset: the dataset.
        data: the folder that the user named, as in `find`.
        folder: the folder that `find` returned.
    """
    named = list(_named_folders(dataset, data))
    if not named or folder in named:
        return ""
    return (
        f"{dataset.name} was not recognised in {named[1]}, so the copy in {folder} is used; "
        f"a folder is recognised by {' or '.join(dataset.markers)}"
    )


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
    require_complete(dataset, folder, split)
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


def _named_folders(dataset: Dataset, data: Path | None) -> Iterator[Path]:
    """Yield the folders in question if the user named one."""
    environment = os.environ.get("DDBENCH_DATA")
    root = data or (Path(environment) if environment else None)
    if root:
        yield from (root / dataset.name, root)
        # The user may name the folder with the files itself.
        if root.absolute().name in {marker.split("/")[0] for marker in dataset.markers}:
            yield root.absolute().parent


def _search_path(dataset: Dataset, data: Path | None) -> Iterator[Path]:
    yield from _named_folders(dataset, data)
    yield from map(Path, dataset.system_folders)
    yield user_folder() / dataset.name
