"""A folder of pictures for each class, named as RDED names them; reads SRe2L's names too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.formats import files
from benchmark_adapters.formats.tensors import Sets
from benchmark_adapters.types import Dataset, DistilledSet, UserError, one_line

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

MOST_FILES = 1_000_000
SUFFIXES = (".png", ".jpg", ".jpeg")
MODES = ("L", "RGB", "P", "1")  # of 8 bits or fewer, without transparency


def find(path: Path, dataset: Dataset) -> list[Path]:
    """The pictures, class by class, in the order of their names; empty where ``path`` has no folders of classes."""
    return [file for _, file in _classes(path, dataset)]


def read(path: Path, dataset: Dataset) -> DistilledSet:
    import numpy as np

    found = _classes(path, dataset)
    if not found:
        raise UserError(
            f"{path}: no folders of PNG or JPEG files that are named 00000, new000 or by a class"
        )
    files.bounded(file for _, file in found)
    images = np.stack([_picture(file, dataset) for _, file in found])
    labels = np.array([label for label, _ in found], np.int64)
    return DistilledSet(
        images, labels, dataset.class_names, np.ones(len(labels), bool), {"folder": path.name}
    )


def write(sets: Sets, folder: Path) -> None:
    """PNG, which loses nothing, and ``metadata.jsonl``, by which ``datasets.load_dataset("imagefolder")`` knows the labels.

    Raises:
        UserError: a set is of floats, which pictures can't hold.
    """
    from PIL import Image

    for dataset, distilled in sets.values():
        if distilled.normalisation is not None:
            raise UserError(
                f"the set for {dataset.name} is of float32 images, which pictures can't hold; export it as eccv2024, dcbench, mtt or native"
            )
        place = folder if len(sets) == 1 else folder / dataset.name
        lines = []
        numbers = [0] * dataset.num_classes
        for image, label in zip(distilled.images, distilled.labels, strict=True):
            name = f"{label:05}/class{label:05}_id{numbers[label]:05}.png"
            numbers[label] += 1
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0] if dataset.channels == 1 else image.transpose(1, 2, 0)).save(
                place / name
            )
            lines.append(
                json.dumps(
                    {
                        "file_name": name,
                        "label": int(label),
                        "class_name": dataset.class_names[label],
                    },
                    ensure_ascii=False,
                )
            )
        (place / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _classes(path: Path, dataset: Dataset) -> list[tuple[int, Path]]:
    """Label and file of each picture."""
    root = path / dataset.name if (path / dataset.name).is_dir() else path
    labelled = []
    for place in sorted(root.iterdir()) if root.is_dir() else []:
        label = _label(place.name, dataset) if place.is_dir() and not place.is_symlink() else None
        if label is not None:
            labelled += [
                (label, file)
                for file in sorted(place.iterdir())
                if file.suffix.lower() in SUFFIXES and file.is_file()
            ]
        if len(labelled) > MOST_FILES:
            raise UserError(f"{root}: more than {MOST_FILES:,} pictures")
    return sorted(labelled)


def _label(name: str, dataset: Dataset) -> int | None:
    """The class that a folder's name says: a number, or a name of the class."""
    if name in dataset.class_names:
        return dataset.class_names.index(name)
    number = re.fullmatch(r"(?:new)?(\d{1,6})", name)
    return int(number[1]) if number and int(number[1]) < dataset.num_classes else None


def _picture(path: Path, dataset: Dataset) -> Array:
    """uint8 [C, H, W]."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if picture.size != (dataset.image_size, dataset.image_size):  # before it is decoded
                raise UserError(
                    f"{path}: {picture.size[0]}x{picture.size[1]} pixels, expected {dataset.image_size}x{dataset.image_size}"
                )
            if picture.mode not in MODES:
                raise UserError(
                    f"{path}: a picture of mode {picture.mode}, expected one of {', '.join(MODES)}"
                )
            pixels = np.asarray(picture.convert("L" if dataset.channels == 1 else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not readable as a picture ({one_line(error, 160)})") from None
    return pixels[None] if dataset.channels == 1 else pixels.transpose(2, 0, 1)
