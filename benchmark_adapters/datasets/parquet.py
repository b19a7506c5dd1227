"""Read published datasets from Parquet files, as the Hugging Face hub has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters import pictures
from benchmark_adapters.datasets.class_names import plain_name
from benchmark_adapters.errors import UserError, one_line
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
            table = pyarrow.parquet.read_table(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(f"{file} can't be read: {one_line(error)}") from None
        encoded += _pictures(table, file, names)
    shape = pictures.common_shape(encoded, None)
    images = pictures.decode(encoded, shape, title)
    return images, np.array([picture.label for picture in encoded], np.int64)


def _pictures(table: Any, file: Path, names: Sequence[Sequence[str]]) -> Iterator[Picture]:
    """Yield the encoded pictures of a table."""
    images, labels = (
        next((name for name in known if name in table.column_names), None)
        for known in (IMAGES, LABELS)
    )
    if images is None or labels is None:
        columns = one_line(", ".join(table.column_names))
        raise UserError(f"{file} has the columns {columns}; expected img or image, and label")
    stored = _class_names(table.schema.metadata or {}, labels)
    if stored is not None and _spelling(stored) not in map(_spelling, names):
        raise UserError(f"{file}: the classes or their order are not those of the dataset")
    rows = zip(table[images].to_pylist(), table[labels].to_pylist(), strict=True)
    for row, (image, label) in enumerate(rows):
        content = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(content, bytes) or not isinstance(label, int):
            raise UserError(f"{file}, row {row}: no encoded image, or no label")
        yield Picture(f"{file.name}, row {row}", label, content)


def _spelling(names: Sequence[object]) -> list[str]:
    """Return class names as they are compared."""
    plain = [plain_name(str(name)) for name in names]
    return [HUB_NAMES.get(name, name) for name in plain]


def _class_names(metadata: dict[bytes, bytes], column: str) -> list[str] | None:
    """Return the class names that the package ``datasets`` stored; None: there are none."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        found = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return found if isinstance(found, list) else None
