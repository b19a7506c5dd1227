"""Decode a folder of pictures once, into a folder of the user's cache.

The name of a cached folder contains a hash of the names, sizes and times of the files. A change of
the files therefore leads to another folder, which replaces the old one.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import platformdirs

from benchmark_adapters.datasets import digest
from benchmark_adapters.files import new_folder
from benchmark_adapters.own_data import hugging_face, image_folder, pictures
from benchmark_adapters.own_data.image_folder import Contents
from benchmark_adapters.own_data.pictures import Picture
from benchmark_adapters.own_data.reference import IMAGE_FOLDER, Reference
from benchmark_adapters.types import Split, UserError

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

DESCRIPTION = "dataset.json"
# Change it whenever pictures are decoded in another way.
VERSION = "1"
MIN_STD = 1 / 255


class Description(msgspec.Struct, frozen=True):
    """A decoded dataset.

    Attributes:
        mean, std: per channel of the training images, for pixels in [0, 1].
        sizes: number of images of each split.
        sha256: hash of the pixels and labels of each split.
    """

    class_names: tuple[str, ...]
    prompts: tuple[str, ...]
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: dict[str, int]
    sha256: dict[str, str]


def decoded(reference: Reference) -> Path:
    """Return the folder of a decoded dataset; decode it first if necessary.

    Raises:
        UserError: the pictures can't be used, or the cache can't be written.
    """
    family = _cache() / f"{reference.folder.name}-{reference.settings_sha256[:12]}"
    folder = family / _files_sha256(reference.folder)[:16]
    try:
        if not (folder / DESCRIPTION).is_file():
            # Another process may have decoded the same files in the meantime.
            with contextlib.suppress(FileExistsError), new_folder(folder) as scratch:
                _decode(reference, scratch)
            # Hidden folders belong to processes that are decoding.
            for other in family.glob("[!.]*"):
                if other != folder:
                    shutil.rmtree(other, ignore_errors=True)
        return folder
    except OSError as error:
        raise UserError(
            f"{error.filename or family}: {error.strerror or error}; decoded pictures are kept in "
            "$XDG_CACHE_HOME"
        ) from None


def describe(folder: Path) -> Description:
    """Return the description of a decoded dataset.

    Raises:
        UserError: it is damaged.
        OSError: it can't be read.
    """
    try:
        return msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=Description)
    except msgspec.MsgspecError:
        raise _damaged(folder) from None


def read_split(folder: Path, split: Split) -> tuple[Array, Array]:
    """Return the images uint8 [N, C, S, S] and labels int64 [N] of a split.

    Raises:
        UserError: the cached files are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        description = describe(folder)
        arrays = load_file(folder / f"{split}.safetensors")
        images, labels = arrays["images"], arrays["labels"]
    except (SafetensorError, KeyError, FileNotFoundError):
        raise _damaged(folder) from None
    if digest(images, labels) != description.sha256[split]:
        raise _damaged(folder)
    return images, labels


def _damaged(folder: Path) -> UserError:
    return UserError(f"the cached images in {folder} are damaged; delete the folder")


def _cache() -> Path:
    return Path(platformdirs.user_cache_dir("ddbench")) / "datasets"


def _files_sha256(folder: Path) -> str:
    """Return a hash of the names, sizes and times of all files in a folder."""
    result = hashlib.sha256(VERSION.encode())
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            facts = file.stat()
            line = f"{file.relative_to(folder)}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
            result.update(line.encode("utf-8", "surrogateescape"))
    return result.hexdigest()


def _decode(reference: Reference, folder: Path) -> None:
    """Decode all pictures into ``folder``."""
    import numpy as np
    from safetensors.numpy import save_file

    reader = image_folder if reference.kind == IMAGE_FOLDER else hugging_face
    contents = reader.read(reference)
    splits = contents.splits
    if reference.share is not None:
        splits = _held_out(contents, reference.share)
    shape = pictures.common_shape(
        [one for split in splits.values() for one in split], reference.size
    )
    sizes, hashes = {}, {}
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    for split, of_split in splits.items():
        images = pictures.decode(of_split, shape, f"decoding {split}")
        labels = np.array([picture.label for picture in of_split], np.int64)
        save_file({"images": images, "labels": labels}, folder / f"{split}.safetensors")
        sizes[split], hashes[split] = len(labels), digest(images, labels)
        if split == "train":
            mean, std = _statistics(images)
    description = Description(
        contents.class_names,
        contents.prompts,
        shape.size,
        shape.channels,
        tuple(mean),
        tuple(std),
        sizes,
        hashes,
    )
    (folder / DESCRIPTION).write_bytes(msgspec.json.encode(description))


def _held_out(contents: Contents, share: float) -> Mapping[Split, Sequence[Picture]]:
    """Divide the pictures of each class at random, always in the same way.

    Raises:
        UserError: a class has a single picture.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    splits: dict[Split, list[Picture]] = {"train": [], "test": []}
    for label, name in enumerate(contents.class_names):
        members = [one for one in contents.splits["train"] if one.label == label]
        if len(members) < 2:
            raise UserError(
                f"class {name} has {len(members)} picture; a share of them can't be held out"
            )
        count = min(max(1, round(share * len(members))), len(members) - 1)
        tested = set(rng.permutation(len(members))[:count].tolist())
        for index, picture in enumerate(members):
            splits["test" if index in tested else "train"].append(picture)
    return splits


def _statistics(images: Array) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel, for pixels in [0, 1]."""
    mean = [float(images[:, channel].mean(dtype="f8")) / 255 for channel in _channels(images)]
    std = [float(images[:, channel].std(dtype="f8")) / 255 for channel in _channels(images)]
    # Networks divide by it.
    return [round(value, 4) for value in mean], [round(max(value, MIN_STD), 4) for value in std]


def _channels(images: Array) -> Iterator[int]:
    return iter(range(images.shape[1]))
