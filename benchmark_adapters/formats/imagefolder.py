"""One folder of image files per class, with RDED's file names. SRe2L's names can be read too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.layout import Sets, read_folders, write_folder
from benchmark_adapters.types import Dataset, DistilledSet

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from benchmark_adapters.types import Array

MAX_FILES = 1_000_000
SUFFIXES = (".png", ".jpg", ".jpeg")
# Pillow's modes with at most 8 bits per channel and without transparency.
MODES = ("L", "RGB", "P", "1")


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
    import numpy as np

    from benchmark_adapters.distilled import class_major_set

    labelled = _labelled_files(path, dataset)
    if not labelled:
        raise UserError(
            f"{path}: no folders of PNG or JPEG files named 00000, new000 or after a class"
        )
    safe_load.check_files(file for _, file in labelled)
    images = np.stack([_read_picture(file, dataset) for _, file in labelled])
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
    """Return the label and the path of each image file.

    Raises:
        UserError: there are more than `MAX_FILES`.
    """
    root = next((folder for folder in read_folders(path, dataset) if folder.is_dir()), path)
    labelled = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        is_real = folder.is_dir() and not folder.is_symlink()
        label = _label(folder.name, dataset) if is_real else None
        if label is not None:
            labelled += [
                (label, file)
                for file in sorted(folder.iterdir())
                if file.suffix.lower() in SUFFIXES and file.is_file()
            ]
        if len(labelled) > MAX_FILES:
            raise UserError(f"{root}: more than {MAX_FILES:,} image files")
    return sorted(labelled)


def _label(name: str, dataset: Dataset) -> int | None:
    """Return the label of a folder named after a class or a number; None for other names."""
    if name in dataset.class_names:
        return dataset.class_names.index(name)
    number = re.fullmatch(r"(?:new)?(\d{1,6})", name)
    return int(number[1]) if number and int(number[1]) < dataset.num_classes else None


def _read_picture(path: Path, dataset: Dataset) -> Array:
    """Return an image file as uint8 [C, H, W]. Its header is checked before it is decoded."""
    import numpy as np
    from PIL import Image

    size = dataset.image_size
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if picture.size != (size, size):
                raise UserError(
                    f"{path}: {picture.size[0]}x{picture.size[1]} pixels, expected {size}x{size}"
                )
            if picture.mode not in MODES:
                raise UserError(
                    f"{path}: image mode {picture.mode}, expected one of {', '.join(MODES)}"
                )
            pixels = np.asarray(picture.convert("L" if dataset.channels == 1 else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = one_line(error, safe_load.MAX_REASON_CHARS)
        raise UserError(f"{path}: not readable as an image ({reason})") from None
    return pixels[None] if dataset.channels == 1 else pixels.transpose(2, 0, 1)


def _to_picture(image: Array) -> Picture:
    """Return an array uint8 [C, H, W] as a Pillow image."""
    from PIL import Image

    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
