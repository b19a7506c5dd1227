"""Rounds on disk to one file: class-major, balanced, never more than some images in memory."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark_adapters.distilled import balanced_rows
from benchmark_adapters.types import Dataset, DistilledSet

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

BLOCK = 1024  # images that are read at once
Parts = Sequence[Sequence[Path]]  # for each part of a set, its rounds in order


class Damaged(Exception):
    """A file of a round is not as it was written."""


def write_round(path: Path, images: Array, labels: Array, generated: Array) -> None:
    """One round, or a whole set, as a safetensors file."""
    from safetensors.numpy import save_file

    save_file(
        {"images": np.ascontiguousarray(images), "labels": labels, "generated": generated}, path
    )


def assemble(parts: Parts, dataset: Dataset, ipc: int | None, path: Path) -> DistilledSet:
    """Writes the rounds of all ``parts`` to ``path``, as many images of each class as every class has and at most ``ipc``; returns the set.

    The images stay on disk, memory-mapped. Parts take turns: the first sampled image of a class is part 0's, the second part 1's.

    ``parts`` are at least one.

    Raises:
        Damaged: a round can't be read.
    """
    files = [file for part in parts for file in part]
    labels, generated, turns = (
        np.concatenate(columns)
        for columns in zip(
            *(_marks(part, number, len(parts)) for number, part in enumerate(parts)), strict=True
        )
    )
    chosen = balanced_rows(labels, turns, dataset.num_classes, ipc)
    row = np.full(len(labels), -1)
    row[chosen] = np.arange(len(chosen))
    shape = (len(chosen), dataset.channels, dataset.image_size, dataset.image_size)
    with path.open("wb") as out:
        start = _write_header(out, shape)
        size, at = int(np.prod(shape[1:])), 0
        for file in files:
            for images in _blocks(file):
                for image, place in zip(images, row[at : at + len(images)], strict=True):
                    if place >= 0:
                        out.seek(start + 8 * len(chosen) + int(place) * size)
                        out.write(image.tobytes())
                at += len(images)
        out.seek(start)
        out.write(labels[chosen].astype("<i8").tobytes())
        out.seek(start + len(chosen) * (8 + size))
        out.write(generated[chosen].tobytes())
    return DistilledSet(
        _mapped(path, shape, start + 8 * len(chosen)),
        labels[chosen],
        dataset.class_names,
        generated[chosen],
    )


def _marks(rounds: Sequence[Path], number: int, parts: int) -> tuple[Array, Array, Array]:
    """Labels and marks of the images of part ``number``, and when each has its turn: by the index of the sampled image that it is or copies."""
    read = [_read(file, "labels", "generated") for file in rounds]
    labels = np.concatenate([np.empty(0, np.int64), *(labels for labels, _ in read)])
    generated = np.concatenate([np.empty(0, np.bool_), *(generated for _, generated in read)])
    turns = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = labels == label
        turns[members] = (np.cumsum(generated[members]) - 1) * parts + number
    return labels, generated, turns


def _read(path: Path, *keys: str) -> list[Array]:
    with _opened(path) as file:
        return [file.get_tensor(key) for key in keys]


def _blocks(path: Path) -> Iterator[Array]:
    """The images of a round, some at a time."""
    with _opened(path) as file:
        images = file.get_slice("images")
        count = images.get_shape()[0]
        for start in range(0, count, BLOCK):
            yield images[start : min(start + BLOCK, count)]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise Damaged(f"the rounds on disk are not as they were written: {error}") from None


def _write_header(out: Any, shape: tuple[int, ...]) -> int:
    """The head of a safetensors file, whose library would want all images in memory; returns where the data begins."""
    count, size = shape[0], int(np.prod(shape[1:]))
    entries, at = {}, 0
    for name, kind, dimensions, length in (
        ("labels", "I64", [count], 8),
        ("images", "U8", list(shape), size),
        ("generated", "BOOL", [count], 1),
    ):
        entries[name] = {
            "dtype": kind,
            "shape": dimensions,
            "data_offsets": [at, at + count * length],
        }
        at += count * length
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    out.write(struct.pack("<Q", len(header)) + header)
    return 8 + len(header)


def _mapped(path: Path, shape: tuple[int, ...], offset: int) -> Array:
    return np.memmap(path, np.uint8, "c", offset, shape) if shape[0] else np.empty(shape, np.uint8)
