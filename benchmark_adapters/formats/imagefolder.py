"""One folder of image files per class, with RDED's file names.

Folders named as by SRe2L, after classes or by WordNet ID can be read too.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters import pictures
from benchmark_adapters.datasets.class_names import plain_name
from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.layout import Sets, is_left_behind, read_folders, write_folder
from benchmark_adapters.pictures import Picture, Shape
from benchmark_adapters.types import Dataset, DistilledSet

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from benchmark_adapters.types import Array

MAX_FILES = 1_000_000
# Characters of a list of names.
MAX_NAMES = 200
TRAIN = "train"


def find(path: Path, dataset: Dataset) -> list[Path]:
    """Return the image files, sorted by class and then by name.

    The list is empty if ``path`` has no class folders.
    """
    return [file for _, file in _labelled_files(path, dataset)]


def read(path: Path, dataset: Dataset) -> DistilledSet:
    """Read the image files of each class.

    Raises:
        UserError: there are no image files or too many, or one is damaged or has the wrong size.
    """
    return _read(path, dataset, resizes=False)


def read_resized(path: Path, dataset: Dataset) -> DistilledSet:
    """Read image files of any size, crop them to squares and resize them to that of the dataset.

    Raises:
        UserError: as in `read`, except for the size.
    """
    return _read(path, dataset, resizes=True)


def _read(path: Path, dataset: Dataset, resizes: bool) -> DistilledSet:
    import numpy as np

    from benchmark_adapters.distilled import class_major_set

    labelled = _labelled_files(path, dataset)
    if not labelled:
        raise UserError(f"{path}: no folders of image files named 00000, new000 or after a class")
    safe_load.check_files(file for _, file in labelled)
    shape = (len(labelled), dataset.channels, dataset.image_size, dataset.image_size)
    if math.prod(shape) > safe_load.MAX_BYTES:
        raise UserError(f"{path}: larger than {safe_load.limit()} when decoded")
    images = np.empty(shape, np.uint8)
    for index, (_, file) in enumerate(labelled):
        images[index] = _read_picture(file, dataset, resizes)
    labels = np.array([label for label, _ in labelled], np.int64)
    return class_major_set(images, labels, dataset, f"{path}:", provenance={"folder": path.name})


def write(sets: Sets, folder: Path) -> None:
    """Write PNG files, which are lossless, and ``metadata.jsonl``.

    ``datasets.load_dataset("imagefolder")`` reads the labels from ``metadata.jsonl``.

    Raises:
        UserError: a set has float images, which PNG files can't store.
    """
    for dataset, distilled in sets.values():
        if distilled.normalisation is not None:
            raise UserError(
                f"the set for {dataset.name} has float32 images, which PNG files can't store; "
                "export it as eccv2024, dcbench, mtt or native"
            )
        target = write_folder(folder, sets, dataset)
        lines = []
        counts = [0] * dataset.num_classes
        for image, label in zip(distilled.images, distilled.labels, strict=True):
            name = f"{label:05}/class{label:05}_id{counts[label]:05}.png"
            counts[label] += 1
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            _to_picture(image).save(target / name)
            metadata = {
                "file_name": name,
                "label": int(label),
                "class_name": dataset.class_names[label],
            }
            lines.append(json.dumps(metadata, ensure_ascii=False))
        (target / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _labelled_files(path: Path, dataset: Dataset) -> list[tuple[int, Path]]:
    """Return the label and the path of each image file; hidden files are left out.

    Raises:
        UserError: there are more than `MAX_FILES`, only some of the folders are classes, or one is
            a link.
    """
    root = next((folder for folder in read_folders(path, dataset) if folder.is_dir()), path)
    # Hugging Face's and torchvision's layout has a folder for the split.
    train = root / TRAIN
    root = train if train.is_dir() and not train.is_symlink() else root
    labelled, strangers = [], []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if is_left_behind(folder.name) or not folder.is_dir():
            continue
        label = _label(folder.name, dataset)
        if label is not None:
            safe_load.refuse_link(folder)
        files = [file for file in sorted(folder.iterdir()) if _is_image(file)]
        if label is None:
            strangers += [folder.name] if files else []
        else:
            labelled += [(label, file) for file in files]
        if len(labelled) > MAX_FILES:
            raise UserError(f"{root}: more than {MAX_FILES:,} image files")
    if labelled and strangers:
        raise UserError(
            f"{root}: these folders are not named after a class of {dataset.name}: "
            f"{one_line(', '.join(strangers), MAX_NAMES)}"
        )
    return sorted(labelled)


def _is_image(file: Path) -> bool:
    is_hidden = file.name.startswith(".")
    return not is_hidden and file.suffix.lower() in pictures.SUFFIXES and file.is_file()


def _label(name: str, dataset: Dataset) -> int | None:
    """Return the label of a folder named after a class or a number; None for other names.

    Names are compared without case, spaces and punctuation, unless classes would be alike then.
    """
    for names in (dataset.folder_names, dataset.class_names):
        if name in names:
            return names.index(name)
    number = re.fullmatch(r"(?:new)?(\d{1,6})", name)
    if number and int(number[1]) < dataset.num_classes:
        return int(number[1])
    plain, known = plain_name(name), [plain_name(known) for known in dataset.class_names]
    return known.index(plain) if known.count(plain) == 1 else None


def _read_picture(path: Path, dataset: Dataset, resizes: bool) -> Array:
    """Return an image file as uint8 [C, H, W]. Its header is checked before it is decoded."""
    size = dataset.image_size
    with safe_load.opened(path, pictures.MAX_BYTES) as file:
        picture = Picture(path.name, 0, file.read(pictures.MAX_BYTES))
    try:
        _, (width, height) = pictures.header(picture)
        if not resizes and (width, height) != (size, size):
            raise UserError(
                f"{path}: {width}x{height} pixels, expected {size}x{size}; --image-size {size} "
                "resizes all pictures"
            )
        return pictures.pixels_of(picture, Shape(dataset.channels, size))
    except pictures.Unusable as error:
        raise UserError(f"{path}: {error}") from None


def _to_picture(image: Array) -> PillowImage:
    """Return an array uint8 [C, H, W] as a Pillow image."""
    from PIL import Image

    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
