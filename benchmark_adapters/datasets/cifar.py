"""CIFAR-10 and CIFAR-100, read from the published Python batches or from Parquet files."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters.datasets import parquet
from benchmark_adapters.datasets.class_names import read_class_names
from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, Split

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


@dataclass(frozen=True)
class _Names:
    """Published names: of the archive, its folder, and the files of each split in it."""

    archive: str
    folder: str
    splits: Mapping[Split, tuple[str, ...]]


NAMES = {
    "cifar10": _Names(
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py",
        {
            "train": (*(f"data_batch_{number}" for number in range(1, 6)), "batches.meta"),
            "test": ("test_batch", "batches.meta"),
        },
    ),
    "cifar100": _Names(
        "cifar-100-python.tar.gz",
        "cifar-100-python",
        {"train": ("train", "meta"), "test": ("test", "meta")},
    ),
}


def read(folder: Path, split: Split, class_names: tuple[str, ...]) -> tuple[Array, Array]:
    """Read one split: images uint8 [N, 3, 32, 32] and labels int64 [N].

    The folder holds the published batches, the archive of them, or Parquet files.

    Raises:
        UserError: a file is damaged or is not the published one.
    """
    name = f"cifar{len(class_names)}"
    archive = folder / NAMES[name].archive
    if (folder / NAMES[name].folder).is_dir():
        return _read_batches(folder, split, class_names)
    if archive.is_file():
        with _unpacked(archive, name, split) as unpacked:
            return _read_batches(unpacked, split, class_names)
    found = parquet.files(folder, [name], split)
    return parquet.read(found, [class_names], f"reading {name}")


def missing(folder: Path, split: Split, name: str) -> list[str]:
    """Return the names of the files of a split that a folder lacks."""
    names = NAMES[name]
    if (folder / names.folder).is_dir():
        paths = [f"{names.folder}/{file}" for file in names.splits[split]]
        return [path for path in paths if not (folder / path).is_file()]
    has_all = (folder / names.archive).is_file() or parquet.files(folder, [name], split)
    return [] if has_all else [f"{split}-*.parquet"]


def _read_batches(folder: Path, split: Split, class_names: tuple[str, ...]) -> tuple[Array, Array]:
    """Read the batches of a split.

    The files are pickles, which could execute code. Before they are opened, their MD5 is verified.
    """
    import numpy as np
    from torchvision.datasets.utils import check_integrity

    loader = _torchvision_class(len(class_names))
    batches = loader.train_list if split == "train" else loader.test_list
    for name, md5 in [*batches, (loader.meta["filename"], loader.meta["md5"])]:
        file = folder / loader.base_folder / name
        if not check_integrity(str(file), md5):
            raise UserError(
                f"{file} is not the published file, whose MD5 is {md5}; download it again"
            )
    # torchvision would also look for the other split.
    other = "test_list" if split == "train" else "train_list"
    reader: Any = type(loader.__name__, (loader,), {other: []})
    files = reader(str(folder), train=split == "train", download=False)
    if tuple(files.classes) != class_names:
        raise UserError(
            f"{folder / loader.base_folder}: the class names or their order differ from the "
            "published files"
        )
    images = np.ascontiguousarray(files.data.transpose(0, 3, 1, 2))
    return images, np.asarray(files.targets, dtype=np.int64)


@contextmanager
def _unpacked(archive: Path, name: str, split: Split) -> Iterator[Path]:
    """Unpack the batches of a split from the published archive into a temporary folder."""
    from torchvision.datasets.utils import check_integrity

    md5 = _torchvision_class(int(name.removeprefix("cifar"))).tgz_md5
    if not check_integrity(str(archive), md5):
        raise UserError(
            f"{archive} is not the published file, whose MD5 is {md5}; download it again"
        )
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as content:
        for file in NAMES[name].splits[split]:
            content.extract(f"{NAMES[name].folder}/{file}", folder, filter="data")
        yield Path(folder)


def _download(folder: Path, num_classes: int) -> None:
    _torchvision_class(num_classes)(str(folder), download=True)


def _torchvision_class(num_classes: int) -> Any:
    from torchvision import datasets

    return datasets.CIFAR10 if num_classes == 10 else datasets.CIFAR100


def _dataset(name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Dataset:
    class_names = read_class_names(name)
    num_classes = len(class_names)
    return Dataset(
        name=name,
        class_names=class_names,
        image_size=32,
        channels=3,
        mean=mean,
        std=std,
        read=partial(read, class_names=class_names),
        markers=(f"{NAMES[name].folder}/*", NAMES[name].archive, *parquet.markers([name])),
        get=f"download it with `ddbench data {name} --download`, "
        "or point --data or $DDBENCH_DATA to its folder",
        test_size=10_000,
        download=partial(_download, num_classes=num_classes),
        summary=f"{num_classes} classes of 32x32 colour photos",
        missing=partial(missing, name=name),
    )


CIFAR10 = _dataset(
    "cifar10",
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)
# Mean and standard deviation of the ECCV 2024 challenge. Other benchmarks use different values.
CIFAR100 = _dataset(
    "cifar100",
    mean=(0.5071, 0.4866, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
