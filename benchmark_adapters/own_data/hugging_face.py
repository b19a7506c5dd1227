"""Read the pictures of a Hugging Face dataset in a local folder, with the package ``datasets``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters.own_data.image_folder import Contents
from benchmark_adapters.own_data.pictures import Picture
from benchmark_adapters.own_data.reference import Reference
from benchmark_adapters.types import Split, UserError, one_line

if TYPE_CHECKING:
    from datasets import Dataset as Table

TRAIN = "train"
# Written by `DatasetDict.save_to_disk`.
SAVED = "dataset_dict.json"


def read(reference: Reference) -> Contents:
    """Read the encoded pictures of a folder of Parquet files, or of one that was saved to disk.

    Raises:
        UserError: the package ``datasets`` is missing, the folder holds neither, a split is
            missing, or there is no column of images or of class labels.
    """
    try:
        import datasets
    except ImportError:
        raise UserError("hf:DIR needs the package datasets: pip install 'ddbench[hf]'") from None
    with _tables(reference, datasets) as tables:
        wanted: list[Split] = ["train"] if reference.share is not None else ["train", "test"]
        sources = {"train": TRAIN, "test": reference.test}
        for split in wanted:
            if sources[split] not in tables:
                known = ", ".join(tables) or "none"
                raise UserError(
                    f"{reference.folder} has no split {sources[split]}; its splits: {known}; name "
                    "the test split with --test-split NAME, or hold out a share of the images: "
                    "--test-split 0.2"
                )
        images, labels = _columns(tables[TRAIN], reference.folder)
        names = tables[TRAIN].features[labels].names
        splits: dict[Split, list[Picture]] = {}
        for split in wanted:
            table = tables[sources[split]]
            if getattr(table.features.get(labels), "names", None) != names:
                raise UserError(
                    f"{reference.folder}: the classes of the splits {TRAIN} and {reference.test} "
                    "differ"
                )
            table = table.cast_column(images, datasets.Image(decode=False))
            splits[split] = list(_pictures(table, sources[split], images, labels))
    return Contents(tuple(names), (), splits)


@contextmanager
def _tables(reference: Reference, datasets: Any) -> Iterator[Mapping[str, Table]]:
    """Yield the tables by split. Copies of Parquet files are deleted afterwards."""
    folder = reference.folder
    files = _parquet_files(folder)
    is_saved = (folder / SAVED).is_file()
    if not files and not is_saved:
        raise UserError(
            f"{folder} has no Parquet files named SPLIT.parquet or SPLIT-*.parquet, and no {SAVED} "
            "of save_to_disk"
        )
    with tempfile.TemporaryDirectory() as cache:
        try:
            if is_saved:
                tables = datasets.load_from_disk(str(folder))
            else:
                tables = datasets.load_dataset("parquet", data_files=files, cache_dir=cache)
        # PyArrow's errors are of the second kind.
        except (datasets.exceptions.DatasetsError, ValueError, OSError) as error:
            raise UserError(f"{folder} can't be read: {one_line(error)}") from None
        yield tables


def _parquet_files(folder: Path) -> dict[str, list[str]]:
    """Return the files of each split, such as ``data/train-00000-of-00002.parquet``."""
    files: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*.parquet")):
        # In some repositories, the folder is named after the split.
        stem = file.stem.split("-")[0]
        split = file.parent.name if stem.isdecimal() else stem
        files.setdefault(split, []).append(str(file))
    return files


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
                f"{', '.join(table.column_names)}"
            )
        found += columns
    return found[0], found[1]


def _pictures(table: Table, split: str, images: str, labels: str) -> Iterator[Picture]:
    """Yield the encoded pictures of a table."""
    for row, entry in enumerate(table):
        content = entry[images]["bytes"]
        if content is None:
            content = Path(entry[images]["path"])
        yield Picture(f"{split} row {row}", entry[labels], content)
