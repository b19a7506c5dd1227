"""Decode a folder of pictures once, into a folder of the user's cache.

The name of a cached folder contains a hash of the names, sizes and times of the files. If files
change, their pictures are decoded into another folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import platformdirs

from benchmark_adapters import pictures
from benchmark_adapters.datasets import digest
from benchmark_adapters.files import listed, new_folder
from benchmark_adapters.own_data import hugging_face, image_folder
from benchmark_adapters.own_data.contents import Contents
from benchmark_adapters.own_data.reference import IMAGE_FOLDER, Reference
from benchmark_adapters.types import Split, UserError

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

DESCRIPTION = "dataset.json"
# Change it whenever pictures are decoded in another way.
VERSION = "1"
# Networks divide by the standard deviation.
MIN_STD = 1 / 255
# Seconds after which a cached folder that was not used is deleted, if the files have changed.
DAY = 86_400.0
MAX_NAME = 80


class Reader(Protocol):
    """Finds and reads the pictures of one kind of folder."""

    def files(self, reference: Reference) -> list[Path]: ...

    def read(self, reference: Reference) -> Contents: ...


class Description(msgspec.Struct, frozen=True):
    """A decoded dataset.

    Attributes:
        mean, std: per channel of the training images, for pixels in [0, 1].
        sizes: number of images of each split.
        sha256: hash of the pixels and labels of each split.
        ignored: number of files that are no pictures by the ending of their name.
    """

    class_names: tuple[str, ...]
    prompts: tuple[str, ...]
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: dict[str, int]
    sha256: dict[str, str]
    ignored: dict[str, int]


def decoded(reference: Reference) -> Path:
    """Return the folder of a decoded dataset; decode it first if necessary.

    Raises:
        UserError: the pictures can't be used, or the cache can't be written.
    """
    cache = Path(platformdirs.user_cache_dir("ddbench")) / "datasets"
    name = f"{reference.folder.name[:MAX_NAME]}-{reference.settings_sha256[:12]}"
    try:
        folder = cache / name / _files_sha256(reference)[:16]
        if not (folder / DESCRIPTION).is_file():
            # Another process may have decoded the same files in the meantime.
            with contextlib.suppress(FileExistsError), new_folder(folder) as scratch:
                _decode(reference, scratch)
            _remove_unused(folder)
        os.utime(folder)
        return folder
    except OSError as error:
        raise UserError(
            f"{error.filename or cache}: {error.strerror or error}; decoded pictures are kept in "
            f"{cache}"
        ) from None


def _remove_unused(folder: Path) -> None:
    """Delete what was decoded from earlier states of the files, unless a run may still use it."""
    for other in listed(folder.parent):
        # Another process may delete it first.
        with contextlib.suppress(FileNotFoundError):
            if other != folder and time.time() - other.stat().st_mtime > DAY:
                shutil.rmtree(other, ignore_errors=True)


def describe(folder: Path) -> Description:
    """Return the description of a decoded dataset.

    Raises:
        UserError: it is damaged.
    """
    try:
        return msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=Description)
    except (OSError, msgspec.MsgspecError):
        raise _damaged(folder) from None


def read_split(folder: Path, split: Split) -> tuple[Array, Array]:
    """Return the images uint8 [N, C, S, S] and labels int64 [N] of a split.

    Raises:
        UserError: the cached files are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    description = describe(folder)
    try:
        arrays = load_file(folder / f"{split}.safetensors")
        images, labels = arrays["images"], arrays["labels"]
    except (SafetensorError, KeyError, FileNotFoundError):
        raise _damaged(folder) from None
    if digest(images, labels) != description.sha256[split]:
        raise _damaged(folder)
    return images, labels


def _damaged(folder: Path) -> UserError:
    return UserError(f"decoded pictures in {folder} are missing or damaged; delete the folder")


def _files_sha256(reference: Reference) -> str:
    """Return a hash of the names, sizes and times of all files that are read."""
    result = hashlib.sha256(VERSION.encode())
    for file in _reader(reference).files(reference):
        facts = file.stat()
        line = f"{file.relative_to(reference.folder)}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
        result.update(line.encode("utf-8", "surrogateescape"))
    return result.hexdigest()


def _reader(reference: Reference) -> Reader:
    return image_folder if reference.kind == IMAGE_FOLDER else hugging_face


def _decode(reference: Reference, folder: Path) -> None:
    """Decode all pictures into ``folder``."""
    import numpy as np
    from safetensors.numpy import save_file

    contents = _reader(reference).read(reference)
    if reference.share is not None:
        contents = contents.divided(reference.share)
    contents.check(reference.folder)
    every = [picture for split in contents.splits.values() for picture in split]
    shape = pictures.common_shape(every, reference.size)
    sizes: dict[str, int] = {}
    hashes: dict[str, str] = {}
    for split, of_split in contents.splits.items():
        images = pictures.decode(of_split, shape, f"decoding {split}")
        labels = np.array([picture.label for picture in of_split], np.int64)
        save_file({"images": images, "labels": labels}, folder / f"{split}.safetensors")
        sizes[split], hashes[split] = len(labels), digest(images, labels)
        if split == "train":
            mean, std = (
                measure(images, axis=(0, 2, 3), dtype="f8") / 255 for measure in (np.mean, np.std)
            )
    description = Description(
        contents.class_names,
        contents.prompts,
        shape.size,
        shape.channels,
        tuple(mean.round(4).tolist()),
        tuple(std.clip(MIN_STD).round(4).tolist()),
        sizes,
        hashes,
        dict(contents.ignored),
    )
    (folder / DESCRIPTION).write_bytes(msgspec.json.encode(description))
