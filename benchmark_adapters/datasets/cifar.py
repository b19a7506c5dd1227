"""CIFAR-10 and CIFAR-100, read from the published Python batches."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters.datasets.class_names import read_class_names
from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, Split

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


def read_batches(folder: Path, split: Split, class_names: tuple[str, ...]) -> tuple[Array, Array]:
    """Read one split: images uint8 [N, 3, 32, 32] and labels int64 [N].

    The files are pickles, which could execute code. torchvision verifies that they have the
    published MD5 before it opens them.

    Raises:
        UserError: a file is missing or is not the published one.
    """
    import numpy as np

    loader = _torchvision_class(len(class_names))
    batches = folder / loader.base_folder
    try:
        files: Any = loader(str(folder), train=split == "train", download=False)
    except RuntimeError:
        raise UserError(
            f"{batches}: a file is missing or does not have the published MD5; download it again"
        ) from None
    if tuple(files.classes) != class_names:
        raise UserError(
            f"{batches}: the class names or their order differ from the published files"
        )
    images = np.ascontiguousarray(files.data.transpose(0, 3, 1, 2))
    return images, np.asarray(files.targets, dtype=np.int64)


def _download(folder: Path, num_classes: int) -> None:
    _torchvision_class(num_classes)(str(folder), download=True)


def _torchvision_class(num_classes: int) -> Any:
    from torchvision import datasets

    return datasets.CIFAR10 if num_classes == 10 else datasets.CIFAR100


def _dataset(name: str, marker: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Dataset:
    class_names = read_class_names(name)
    return Dataset(
        name=name,
        class_names=class_names,
        image_size=32,
        channels=3,
        mean=mean,
        std=std,
        read=partial(read_batches, class_names=class_names),
        markers=(marker,),
        get=f"download it with `ddbench data {name} --download`, "
        "or point --data or $DDBENCH_DATA to its folder",
        test_size=10_000,
        download=partial(_download, num_classes=len(class_names)),
        summary=f"{len(class_names)} classes of 32x32 colour photos",
    )


CIFAR10 = _dataset(
    "cifar10",
    "cifar-10-batches-py/batches.meta",
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)
# Mean and standard deviation of the ECCV 2024 challenge. Other benchmarks use different values.
CIFAR100 = _dataset(
    "cifar100",
    "cifar-100-python/meta",
    mean=(0.5071, 0.4866, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
