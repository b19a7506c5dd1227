"""Batch files, and the class-major, balanced set that is collected from them.

Sets may be larger than memory: at most `BLOCK` images are held at once. The process that wrote a
batch file ran a method's code, so its content is checked before it is believed.
"""

from __future__ import annotations

import contextlib
import json
import stat
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from benchmark_adapters.distilled import balanced_rows
from benchmark_adapters.types import Dataset, DistilledSet, UserError, one_line

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

# Number of images to read at once.
BLOCK = 1024


class CorruptBatchError(Exception):
    """Raised if a batch file is missing, damaged, or not as it was reported."""


def write_batch(path: Path, images: Array, labels: Array, generated: Array) -> None:
    """Write one batch, or a whole set, as a safetensors file.

    Raises:
        UserError: it can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors = {"images": np.ascontiguousarray(images), "labels": labels, "generated": generated}
    try:
        save_file(tensors, path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"a batch could not be saved ({one_line(error)})") from None


def collect(
    parts: Sequence[Sequence[Path]],
    dataset: Dataset,
    ipc: int | None,
    path: Path,
    reported: tuple[int, int] | None = None,
) -> DistilledSet:
    """Collect the batches of all ``parts`` into one set, stored in the file ``path``.

    Every class gets the same number of images: as many as the smallest class has, at most ``ipc``.
    Parts take turns: the first sampled image of a class comes from part 0, the second from part 1.
    The images stay on disk, memory-mapped.

    Args:
        parts: the batch files of each part, in order; at least one part.
        dataset: the dataset of the images.
        ipc: images per class; None: as many as possible.
        path: the file to write.
        reported: number of images, and of freshly sampled images, that the files should have.

    Returns:
        The set.

    Raises:
        CorruptBatchError: a batch file can't be read, or the numbers differ.
    """
    columns = [_columns(part, number, len(parts), dataset) for number, part in enumerate(parts)]
    labels, generated, turns = (np.concatenate(column) for column in zip(*columns, strict=True))
    found = len(labels), int(generated.sum())
    if reported and found != reported:
        raise CorruptBatchError(
            f"the batch files hold {found[0]:,} images, {found[1]:,} of them sampled; "
            f"{reported[0]:,} and {reported[1]:,} were reported"
        )
    chosen = balanced_rows(labels, turns, dataset.num_classes, ipc)
    row = np.full(len(labels), -1)
    row[chosen] = np.arange(len(chosen))
    shape = (len(chosen), dataset.channels, dataset.image_size, dataset.image_size)
    files = [file for part in parts for file in part]
    with path.open("wb") as out:
        start = _write_header(out, shape)
        images_start = start + 8 * len(chosen)
        _write_images(out, files, row, images_start, int(np.prod(shape[1:])))
        out.seek(start)
        out.write(labels[chosen].astype("<i8").tobytes())
        out.seek(images_start + int(np.prod(shape)))
        out.write(generated[chosen].tobytes())
    images = _mapped(path, shape, images_start)
    return DistilledSet(images, labels[chosen], dataset.class_names, generated[chosen])


def read_labels(path: Path, dataset: Dataset) -> tuple[Array, Array]:
    """Return the labels, int64 [n], and the generated marks, bool [n], of a batch file.

    Raises:
        CorruptBatchError: a tensor has another type or shape, or a label is not one of the dataset.
    """
    with _opened(path) as file:
        labels, generated = file.get_tensor("labels"), file.get_tensor("generated")
        images = file.get_slice("images")
        shape, dtype = images.get_shape(), images.get_dtype()
    size, count = dataset.image_size, labels.size
    is_sound = (
        (labels.dtype, labels.ndim) == (np.int64, 1)
        and (generated.dtype, generated.shape) == (np.bool_, labels.shape)
        and (dtype, shape) == ("U8", [count, dataset.channels, size, size])
        and np.isin(labels, np.arange(dataset.num_classes)).all()
    )
    if not is_sound:
        raise CorruptBatchError(f"{path.name} does not hold a batch of {dataset.name}")
    return labels, generated


def _write_images(out: BinaryIO, files: Sequence[Path], row: Array, start: int, size: int) -> None:
    """Write the images of batch files into their rows of the set.

    Args:
        out: the file to write.
        files: the batch files.
        row: for each image of the files in turn, its row in the set; -1: it is left out.
        start: offset of the first row in bytes.
        size: size of an image in bytes.
    """
    position = 0
    for file in files:
        for images in _blocks(file):
            for image, place in zip(images, row[position : position + len(images)], strict=True):
                if place >= 0:
                    out.seek(start + int(place) * size)
                    out.write(image.tobytes())
            position += len(images)


def _columns(
    files: Sequence[Path], number: int, parts: int, dataset: Dataset
) -> tuple[Array, Array, Array]:
    """Return the labels, the generated marks and the turns of the images in part ``number``.

    The turn of a sampled image is its index within its class, counted over all parts. A copy has
    the turn of the image that it copies.
    """
    columns = [read_labels(file, dataset) for file in files]
    labels = np.concatenate([np.empty(0, np.int64), *(labels for labels, _ in columns)])
    generated = np.concatenate([np.empty(0, np.bool_), *(marks for _, marks in columns)])
    turns = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = labels == label
        turns[members] = (np.cumsum(generated[members]) - 1) * parts + number
    return labels, generated, turns


def _blocks(path: Path) -> Iterator[Array]:
    """Yield the images of a batch file, `BLOCK` at a time."""
    with _opened(path) as file:
        images = file.get_slice("images")
        count = images.get_shape()[0]
        for start in range(0, count, BLOCK):
            yield images[start : min(start + BLOCK, count)]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        # A link could lead to any file, and to open a pipe could take for ever.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise CorruptBatchError(f"{path.name} is not a file")
        with safe_open(path, framework="numpy") as file:
            yield file
    except (OSError, SafetensorError) as error:
        text = getattr(error, "strerror", None) or error
        reason = one_line(f"{str(text).replace(str(path), path.name)}: {path.name}")
        raise CorruptBatchError(f"the batch files are missing or damaged: {reason}") from None


def _write_header(out: BinaryIO, shape: tuple[int, ...]) -> int:
    """Write the header of a safetensors file; return the offset of its data.

    The safetensors library would need all images in memory.
    """
    count, size = shape[0], int(np.prod(shape[1:]))
    tensors = (
        ("labels", "I64", [count], 8),
        ("images", "U8", list(shape), size),
        ("generated", "BOOL", [count], 1),
    )
    entries, position = {}, 0
    for name, dtype, dimensions, length in tensors:
        end = position + count * length
        entries[name] = {"dtype": dtype, "shape": dimensions, "data_offsets": [position, end]}
        position = end
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    out.write(struct.pack("<Q", len(header)) + header)
    return 8 + len(header)


def _mapped(path: Path, shape: tuple[int, ...], offset: int) -> Array:
    if not shape[0]:
        return np.empty(shape, np.uint8)
    return np.memmap(path, np.uint8, "c", offset, shape)
