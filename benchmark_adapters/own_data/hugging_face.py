"""Read the pictures of a Hugging Face dataset in a local folder, with the package ``datasets``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters.own_data.contents import Contents
from benchmark_adapters.own_data.reference import Reference
from benchmark_adapters.pictures import Picture
from benchmark_adapters.types import Split, UserError, one_line

if TYPE_CHECKING:
    from datasets import Dataset as Table

TRAIN = "train"
# Written by `save_to_disk`, of several splits and of one.
SAVED = ("dataset_dict.json", "dataset_info.json")


def files(reference: Reference) -> list[Path]:
    """Return all files that `read` reads.

    Raises:
        UserError: the folder has no Parquet files and was not saved by `save_to_disk`.
    """
    folder = reference.folder
    if _is_saved(folder):
        return sorted(file for file in folder.rglob("*") if file.is_file())
    found = sorted(folder.rglob("*.parquet"))
    if not found:
        raise UserError(
            f"{folder} has no Parquet files named SPLIT.parquet or SPLIT-*.parquet, and was not "
            "saved by save_to_disk"
        )
    return found


def read(reference: Reference) -> Contents:
    """Read the encoded pictures of a folder of Parquet files, or of one that was saved to disk.

    Raises:
        UserError: the package ``datasets`` is missing, the files can't be read, a split is missing,
            or there is no column of images or of class labels.
    """
    try:
        import datasets
    except ImportError:
        raise UserError("hf:DIR needs the package datasets: pip install 'ddbench[hf]'") from None
    wanted: dict[Split, str] = {"train": TRAIN}
    if reference.share is None:
        wanted["test"] = reference.test
    with _tables(reference, datasets) as tables:
        for name in wanted.values():
            if name not in tables:
                known = ", ".join(tables)
                raise UserError(
                    f"{reference.folder} has no split {name}; its splits: {known}; name the test "
                    "split with --test-split NAME, or hold out a share of the images: --test-split "
                    "0.2"
                )
        images, labels = _columns(tables[TRAIN], reference.folder)
        names = tables[TRAIN].features[labels].names
        splits: dict[Split, list[Picture]] = {}
        for split, name in wanted.items():
            table = tables[name]
            if getattr(table.features.get(labels), "names", None) != names:
                raise UserError(f"{reference.folder}: {TRAIN} and {name} have different classes")
            table = table.cast_column(images, datasets.Image(decode=False))
            splits[split] = list(_pictures(table, name, images, labels))
    return Contents(tuple(names), splits)


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in SAVED)


@contextmanager
def _tables(reference: Reference, datasets: Any) -> Iterator[Mapping[str, Table]]:
    """Yield the tables by split. Copies of Parquet files are deleted afterwards."""
    folder = reference.folder
    shows_bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        try:
            if _is_saved(folder):
                tables = datasets.load_from_disk(str(folder))
            else:
                by_split = _parquet_files(reference)
                tables = datasets.load_dataset("parquet", data_files=by_split, cache_dir=cache)
        # PyArrow's errors are of the second kind.
        except (datasets.exceptions.DatasetsError, ValueError, OSError) as error:
            raise UserError(f"{folder} can't be read: {one_line(error)}") from None
        finally:
            if shows_bars:
                datasets.enable_progress_bars()
        yield tables if isinstance(tables, Mapping) else {TRAIN: tables}


def _parquet_files(reference: Reference) -> dict[str, list[str]]:
    """Return the files of each split, such as ``data/train-00000-of-00002.parquet``."""
    by_split: dict[str, list[str]] = {}
    for file in files(reference):
        # In some repositories, the folder is named after the split.
        stem = file.stem.split("-")[0]
        split = file.parent.name if stem.isdecimal() else stem
        by_split.setdefault(split, []).append(str(file))
    return by_split


def _columns(table: Table, folder: Path) -> tuple[str, str]:
    """Return the names of the columns of images and of class labels."""
    by_type: dict[str, list[str]] = {}
    for name, feature in table.features.items():
        by_type.setdefault(type(feature).__name__, []).append(name)
    found = []
    for kind in ("Image", "ClassLabel"):
        columns = by_type.get(kind, [])
        if len(columns) != 1:
            raise UserError(
                f"{folder} has {len(columns)} columns of type {kind}, expected one; its columns: "
                f"{', '.join(table.column_names)}; the package datasets converts columns with "
                "cast_column"
            )
        found += columns
    return found[0], found[1]


def _pictures(table: Table, split: str, images: str, labels: str) -> Iterator[Picture]:
    """Yield the encoded pictures of a table. A missing label becomes -1."""
    for row, entry in enumerate(table):
        content = entry[images]["bytes"]
        if content is None:
            content = Path(entry[images]["path"])
        label = entry[labels]
        yield Picture(f"row {row} of {split}", -1 if label is None else label, content)
