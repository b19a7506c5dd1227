"""Real datasets: their names in label order, where their files are, and how they are read."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from benchmark_adapters.types import Dataset, Split, UserError, one_line

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

PACKAGE = Path(__file__).parent


def find(dataset: Dataset, data: Path | None = None) -> Path:
    """The folder that holds ``dataset``: below ``data`` or ``$DDBENCH_DATA``, in the system's, or in the user's data folder.

    Raises:
        UserError: none does; the message names the places and how to get the files.
    """
    if data and not data.is_dir():
        raise UserError(f"--data {data} is no folder")
    places = list(_places(dataset, data))
    for place in places:
        if any(next(place.glob(marker), None) for marker in dataset.markers):
            return place
    searched = ", ".join(map(str, places))
    raise UserError(f"dataset {dataset.name} is not in {searched}; {dataset.get}")


def user_folder() -> Path:
    """Where ``ddbench data NAME --download`` puts files."""
    return Path(platformdirs.user_data_dir("ddbench"))


def load(
    dataset: Dataset, split: Split, data: Path | None = None, bundled: bool = False
) -> tuple[Array, Array]:
    """One split: images uint8 [N, C, H, W] and labels int64 [N].

    Raises:
        UserError: files are missing or damaged, or their class names are not those of ``dataset.class_names``.
    """
    if bundled and dataset.bundled is None:
        raise UserError(
            f"dataset {dataset.name} is not bundled; choose a track that uses your own files"
        )
    folder = dataset.bundled if bundled and dataset.bundled else find(dataset, data)
    try:
        images, labels = dataset.read(folder, split)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from None
    if not len(images):
        raise UserError(f"{folder}: {dataset.name} {split} has no images; get it again")
    if images.shape[1:] != (dataset.channels, dataset.image_size, dataset.image_size) or len(
        images
    ) != len(labels):
        raise UserError(
            f"{folder}: {dataset.name} {split} has images of shape {images.shape} and {len(labels)} labels"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < dataset.num_classes:
        raise UserError(
            f"{folder}: {dataset.name} {split} has labels outside 0..{dataset.num_classes - 1}"
        )
    return images, labels


def download(dataset: Dataset, data: Path | None = None) -> Path:
    """Gets the published files through torchvision, which checks their md5, into ``data`` or the user's data folder.

    Raises:
        UserError: torchvision has no download of this dataset, or it failed.
    """
    if dataset.download is None:
        raise UserError(f"{dataset.name} has no download here; {dataset.get}")
    folder = (data or user_folder()) / dataset.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        dataset.download(folder)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{dataset.name} could not be downloaded to {folder}: {one_line(error)}"
        ) from None
    return folder


def digest(images: Array, labels: Array) -> str:
    """sha256 over pixels and labels: the same for the same images, wherever the files lie."""
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def _places(dataset: Dataset, data: Path | None) -> Iterator[Path]:
    roots = (
        [data]
        if data
        else [Path(os.environ["DDBENCH_DATA"])]
        if os.environ.get("DDBENCH_DATA")
        else []
    )
    for root in roots:
        yield from (root / dataset.name, root)
    yield from map(Path, dataset.system_folders)
    yield user_folder() / dataset.name


def _download_fashion_mnist(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(str(folder), download=True)


def _download_cifar(folder: Path, classes: int) -> None:
    _cifar_loader(classes)(str(folder), download=True)


def _cifar_loader(classes: int) -> Any:
    from torchvision.datasets import CIFAR10, CIFAR100

    return CIFAR10 if classes == 10 else CIFAR100


# Readers of the published files


def read_idx(folder: Path, split: Split) -> tuple[Array, Array]:
    """Fashion-MNIST's IDX files, plain or gzipped; the bundled ones are checked against their checksums."""
    if (folder / "FashionMNIST" / "raw").is_dir():  # as torchvision's download puts them
        folder = folder / "FashionMNIST" / "raw"
    stem = "train" if split == "train" else "t10k"
    images = _idx(folder, f"{stem}-images-idx3-ubyte", dimensions=3)
    labels = _idx(folder, f"{stem}-labels-idx1-ubyte", dimensions=1)
    return images[:, None], labels.astype("int64")


def _idx(folder: Path, name: str, dimensions: int) -> Array:
    """An IDX array of bytes: 0, 0, type 8, number of dimensions, each dimension as big-endian uint32, the data."""
    import numpy as np

    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise UserError(f"{folder}: {name}[.gz] is missing")
    raw = path.read_bytes()
    _verify(path, raw)
    try:
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file ({error}); get it again") from None
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(f"{path}: no IDX file of bytes in {dimensions} dimension(s); get it again")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != int(np.prod(shape)):
        raise UserError(
            f"{path}: {len(content) - header} bytes of data where its header says {shape}; get it again"
        )
    return (
        np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
    )  # writable, as torch wants it


def _verify(path: Path, raw: bytes) -> None:
    """The bundled files must have the sums that lie beside them."""
    if path.is_relative_to(PACKAGE):
        sums = (path.parent / "SHA256SUMS").read_text().splitlines()
        expected = {name: total for total, name in map(str.split, sums)}
        if expected.get(path.name) != hashlib.sha256(raw).hexdigest():
            raise UserError(
                f"{path}: its sha256 is not the one in SHA256SUMS; install the package again"
            )


def read_cifar(folder: Path, split: Split, names: tuple[str, ...]) -> tuple[Array, Array]:
    """CIFAR's python batches. They are pickles, so torchvision checks their md5 before it opens them."""
    import numpy as np

    loader = _cifar_loader(len(names))
    try:
        files: Any = loader(str(folder), train=split == "train", download=False)
    except RuntimeError:
        raise UserError(
            f"{folder / loader.base_folder}: a file is missing or has not its published md5; get it again"
        ) from None
    if tuple(files.classes) != names:
        raise UserError(
            f"{folder / loader.base_folder}: its class names or their order are not those of the published files"
        )
    return np.ascontiguousarray(files.data.transpose(0, 3, 1, 2)), np.asarray(
        files.targets, dtype=np.int64
    )


def read_tiny_imagenet(folder: Path, split: Split) -> tuple[Array, Array]:
    """The published folder; labels by the sorted WordNet ids, which must be those of ``wnids.txt``."""
    import numpy as np

    root = folder / "tiny-imagenet-200" if (folder / "tiny-imagenet-200").is_dir() else folder
    wnids = list(_labels("tiny-imagenet"))
    if sorted(_lines(root / "wnids.txt")) != wnids:
        raise UserError(f"{root / 'wnids.txt'}: its WordNet ids are not the 200 of Tiny-ImageNet")
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    if split == "train":
        files = [
            (path, label_of[wnid])
            for wnid in wnids
            for path in sorted((root / "train" / wnid / "images").glob("*.JPEG"))
        ]
    else:
        files = [
            (root / "val" / "images" / name, label)
            for name, label in _annotations(root / "val" / "val_annotations.txt", label_of)
        ]
    if not files:
        raise UserError(f"{root}: no {split} images")
    images = np.stack([_jpeg(path) for path, _ in files])
    return images, np.array([label for _, label in files], np.int64)


def _annotations(path: Path, label_of: dict[str, int]) -> list[tuple[str, int]]:
    """File name and label of each line ``name<tab>wnid<tab>box``."""
    rows = [line.split("\t") for line in _lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) < 2 or row[1] not in label_of:
            raise UserError(
                f"{path}, line {number}: expected a file name and a WordNet id of Tiny-ImageNet"
            )
    return [(row[0], label_of[row[1]]) for row in rows]


def _jpeg(path: Path) -> Array:
    """uint8 [3, 64, 64]; some of the published files are grey."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise UserError(
            f"{path}: not readable as an image ({error}); get the dataset again"
        ) from None
    if pixels.shape != (64, 64, 3):
        raise UserError(f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels, expected 64x64")
    return pixels.transpose(2, 0, 1)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path} is missing; get the dataset again")
    return path.read_text(errors="replace").splitlines()


# The datasets


def _labels(name: str) -> Any:
    return json.loads((PACKAGE / "labels" / f"{name}.json").read_text())


def _cifar(name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Dataset:
    names = tuple(_labels(name))
    return Dataset(
        name=name,
        class_names=names,
        image_size=32,
        channels=3,
        mean=mean,
        std=std,
        read=partial(read_cifar, names=names),
        markers=("cifar-10-batches-py/batches.meta",)
        if name == "cifar10"
        else ("cifar-100-python/meta",),
        get=f"get it with `ddbench data {name} --download`, or point --data or $DDBENCH_DATA to its folder",
        test_size=10_000,
        download=partial(_download_cifar, classes=len(names)),
        summary=f"{len(names)} classes of 32x32 colour photos",
    )


FASHION_MNIST = Dataset(
    name="fashion-mnist",
    class_names=tuple(_labels("fashion-mnist")),
    image_size=28,
    channels=1,
    mean=(0.2861,),
    std=(0.3530,),
    read=read_idx,
    markers=("t10k-images-idx3-ubyte*", "FashionMNIST/raw/t10k-images-idx3-ubyte*"),
    get="get it with `ddbench data fashion-mnist --download`, or install Debian's dataset-fashion-mnist, or point --data or $DDBENCH_DATA to its folder",
    test_size=10_000,
    download=_download_fashion_mnist,
    summary="10 classes of 28x28 grey pictures of clothes (test split and 100 training images per class bundled)",
    system_folders=("/usr/share/datasets/fashion-mnist",),
    bundled=PACKAGE / "bundled" / "fashion-mnist",
)
# CIFAR-100's is the ECCV 2024 challenge's; benchmarks disagree on it.
CIFAR10 = _cifar("cifar10", mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
CIFAR100 = _cifar("cifar100", mean=(0.5071, 0.4866, 0.4409), std=(0.2673, 0.2564, 0.2762))
TINY_IMAGENET = Dataset(
    name="tiny-imagenet",
    class_names=tuple(words[0] for words in _labels("tiny-imagenet").values()),
    image_size=64,
    channels=3,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    read=read_tiny_imagenet,
    markers=("tiny-imagenet-200/wnids.txt", "wnids.txt"),
    get="unpack the published tiny-imagenet-200.zip and point --data or $DDBENCH_DATA to its folder",
    test_size=10_000,
    summary="200 classes of 64x64 colour photos",
    synonyms=tuple(map(tuple, _labels("tiny-imagenet").values())),
)
