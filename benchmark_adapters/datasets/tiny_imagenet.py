"""Tiny-ImageNet, read from the published folder of JPEG files or from Parquet files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.datasets import parquet
from benchmark_adapters.datasets.class_names import read_synonyms
from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, Split

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

# Names by WordNet ID. Labels follow the order of the sorted IDs.
SYNONYMS = read_synonyms("tiny-imagenet")
IMAGE_SIZE = 64
FOLDER, LIST = "tiny-imagenet-200", "wnids.txt"
PARQUET_FOLDERS = ("tiny-imagenet",)
# Published training images of each class.
TRAIN_PER_CLASS = 500


def read(folder: Path, split: Split) -> tuple[Array, Array]:
    """Read one split: images uint8 [N, 3, 64, 64] and labels int64 [N].

    Raises:
        UserError: a file is missing or damaged, or the WordNet IDs are not the published ones.
    """
    import numpy as np

    root = _root(folder)
    found = parquet.files(folder, PARQUET_FOLDERS, split)
    if found and not (root / LIST).is_file():
        names = (tuple(SYNONYMS), TINY_IMAGENET.class_names)
        return parquet.read(found, names, "reading tiny-imagenet")
    if sorted(_read_lines(root / LIST)) != list(SYNONYMS):
        raise UserError(
            f"{root / LIST}: these are not the 200 WordNet IDs of Tiny-ImageNet; "
            "get the dataset again"
        )
    label_of = {wnid: label for label, wnid in enumerate(SYNONYMS)}
    is_train = split == "train"
    files = _files_by_class(root / "train", label_of) if is_train else _test_files(root, label_of)
    if not files:
        raise UserError(f"{root}: no {split} images")
    images = np.stack([_read_jpeg(path) for path, _ in files])
    return images, np.array([label for _, label in files], np.int64)


def missing(folder: Path, split: Split) -> list[str]:
    """Return what a folder lacks of a split: files, and folders with the number of their images."""
    root = _root(folder)
    if not (root / LIST).is_file():
        return [] if parquet.files(folder, PARQUET_FOLDERS, split) else [LIST]
    label_of = {wnid: label for label, wnid in enumerate(SYNONYMS)}
    if split == "test":
        names = [file for file, _ in _test_files(root, label_of) if not file.is_file()]
        return [str(file.relative_to(root)) for file in names]
    counts = Counter(label for _, label in _files_by_class(root / "train", label_of))
    return [
        f"train/{wnid} ({counts[label]} of {TRAIN_PER_CLASS} images)"
        for wnid, label in label_of.items()
        if counts[label] < TRAIN_PER_CLASS
    ]


def _root(folder: Path) -> Path:
    """Return the folder with the lists. Archives are often unpacked into a folder of their name."""
    candidates = (folder / FOLDER / FOLDER, folder / FOLDER, folder)
    return next((root for root in candidates if (root / LIST).is_file()), folder)


def _files_by_class(split: Path, label_of: dict[str, int]) -> list[tuple[Path, int]]:
    """Return the files in the folders of the classes, or in a folder ``images`` in each of them."""
    return [
        (path, label)
        for wnid, label in label_of.items()
        for path in sorted((split / wnid / "images").glob("*.JPEG"))
        or sorted((split / wnid).glob("*.JPEG"))
    ]


def _test_files(root: Path, label_of: dict[str, int]) -> list[tuple[Path, int]]:
    """Return files and labels of the validation split. The published test split has no labels.

    Many tools move the files into folders by class. They keep their names, so their order is
    known.
    """
    if (root / "val" / "images").is_dir():
        return _annotated_files(root, label_of)
    files = _files_by_class(root / "val", label_of)
    if not files:
        raise UserError(
            f"{root / 'val'} has neither a folder images nor a folder for each class; get the "
            "dataset again"
        )
    return sorted(files, key=lambda file: (len(file[0].name), file[0].name))


def _annotated_files(root: Path, label_of: dict[str, int]) -> list[tuple[Path, int]]:
    """Return files and labels by the annotations, whose lines are ``name<tab>wnid<tab>box``."""
    annotations = root / "val" / "val_annotations.txt"
    rows = [line.split("\t") for line in _read_lines(annotations)]
    for number, row in enumerate(rows, 1):
        if len(row) < 2 or row[1] not in label_of:
            raise UserError(
                f"{annotations}, line {number}: "
                "expected a file name and a WordNet ID of Tiny-ImageNet"
            )
    return [(root / "val" / "images" / row[0], label_of[row[1]]) for row in rows]


def _read_jpeg(path: Path) -> Array:
    """Return an image as uint8 [3, 64, 64]. Some of the published files are greyscale."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise UserError(
            f"{path}: not readable as an image ({error}); get the dataset again"
        ) from None
    if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise UserError(f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels, expected 64x64")
    return pixels.transpose(2, 0, 1)


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a file without blanks at their end and without empty ones."""
    if not path.is_file():
        raise UserError(f"{path} is missing; get the dataset again")
    lines = path.read_text(errors="replace").splitlines()
    return [line.rstrip() for line in lines if line.strip()]


TINY_IMAGENET = Dataset(
    name="tiny-imagenet",
    class_names=tuple(words[0] for words in SYNONYMS.values()),
    image_size=IMAGE_SIZE,
    channels=3,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    read=read,
    markers=(f"{FOLDER}/*", LIST, *parquet.markers(PARQUET_FOLDERS)),
    get="unpack the published tiny-imagenet-200.zip and "
    "point --data or $DDBENCH_DATA to its folder",
    test_size=10_000,
    summary="200 classes of 64x64 colour photos",
    synonyms=tuple(SYNONYMS.values()),
    folder_names=tuple(SYNONYMS),
    missing=missing,
)
