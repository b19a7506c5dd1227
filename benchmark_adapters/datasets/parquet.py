"""Read published datasets from Parquet files, as the Hugging Face hub has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters import pictures
from benchmark_adapters.datasets.class_names import plain_name
from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.files import open_regular
from benchmark_adapters.pictures import Picture
from benchmark_adapters.types import Split

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

# Columns of images and of labels, and the names of a split.
IMAGES = ("img", "image")
LABELS = ("fine_label", "label")
SPLITS: dict[Split, tuple[str, ...]] = {"train": ("train",), "test": ("test", "valid")}
# Class names that are spelt otherwise on the hub.
HUB_NAMES = {"cra": "crab"}
# Encoded pictures can't be compressed much further. Those of a file may take this many bytes, and
# this many times its size.
ALLOWED_BYTES, MAX_RATIO = 64 * 2**20, 4
# Rows that are read at a time.
ROWS = 64


def markers(folders: Sequence[str]) -> tuple[str, ...]:
    """Return glob patterns for the Parquet files of the training split in one of ``folders``."""
    return tuple(f"{name}/**/{pattern}" for name in folders for pattern in _patterns("train"))


def files(folder: Path, names: Sequence[str], split: Split) -> list[Path]:
    """Return the Parquet files of a split in the first of the folders ``names`` that has some."""
    for name in names:
        for split_name in SPLITS[split]:
            for pattern in _patterns(split_name):
                if found := sorted((folder / name).rglob(pattern)):
                    return found
    return []


def _patterns(split_name: str) -> tuple[str, ...]:
    return f"{split_name}-*.parquet", f"{split_name}.parquet"


def read(found: Sequence[Path], names: Sequence[Sequence[str]], title: str) -> tuple[Array, Array]:
    """Read images uint8 [N, C, S, S] of one size, and labels int64 [N].

    Args:
        found: the files of a split.
        names: the names of all classes in label order. The files may use any of these lists,
            spelt as on the hub, or have no names.
        title: what is being read, for the progress.

    Raises:
        UserError: the package ``pyarrow`` is missing, or a file is damaged, has no such columns, or
            has other classes, or a row has no image or no label.
    """
    import numpy as np

    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{found[0]}: reading Parquet needs the package pyarrow: pip install 'ddbench[hf]'"
        ) from None
    encoded: list[Picture] = []
    for file in found:
        try:
            with open_regular(file) as opened:
                encoded += _pictures(pyarrow.parquet.ParquetFile(opened), file, names)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise UserError(f"{file} can't be read: {one_line(error)}") from None
    shape = pictures.common_shape(encoded, None)
    images = pictures.decode(encoded, shape, title)
    return images, np.array([picture.label for picture in encoded], np.int64)


def _pictures(opened: Any, file: Path, names: Sequence[Sequence[str]]) -> Iterator[Picture]:
    """Yield the encoded pictures of a Parquet file."""
    schema = opened.schema_arrow
    images, labels = (
        next((name for name in known if name in schema.names), None) for known in (IMAGES, LABELS)
    )
    if images is None or labels is None:
        columns = one_line(", ".join(schema.names))
        raise UserError(f"{file} has the columns {columns}; expected img or image, and label")
    stored = _class_names(schema.metadata or {}, labels)
    if stored is not None and _spelling(stored) not in map(_spelling, names):
        raise UserError(f"{file}: the classes or their order are not those of the dataset")
    left = ALLOWED_BYTES + MAX_RATIO * file.stat().st_size
    for row, (image, label) in enumerate(_rows(opened, images, labels)):
        content = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(content, bytes) or not isinstance(label, int):
            raise UserError(f"{file}, row {row}: no encoded image, or no label")
        left -= len(content)
        if left < 0:
            raise UserError(f"{file}: its pictures are far larger than the file")
        yield Picture(f"{file.name}, row {row}", label, content)


def _rows(opened: Any, images: str, labels: str) -> Iterator[tuple[Any, Any]]:
    """Yield the image and the label of each row. A small file may hold one of them many times."""
    for batch in opened.iter_batches(ROWS, columns=[images, labels]):
        yield from zip(batch[images].to_pylist(), batch[labels].to_pylist(), strict=True)


def _spelling(names: Sequence[object]) -> list[str]:
    """Return class names as they are compared."""
    plain = [plain_name(str(name)) for name in names]
    return [HUB_NAMES.get(name, name) for name in plain]


def _class_names(metadata: dict[bytes, bytes], column: str) -> list[str] | None:
    """Return the class names that the package ``datasets`` stored; None: there are none."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        found = features[column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None
