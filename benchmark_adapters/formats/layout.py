"""The layout of distilled sets in a folder: one set at the top, several in subfolders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, DistilledSet

# Names that systems leave behind in folders and archives, besides hidden files.
LEFT_BEHIND = ("__MACOSX", "Thumbs.db", "desktop.ini")

# By dataset name.
Sets = Mapping[str, tuple[Dataset, DistilledSet]]


def write_folder(root: Path, sets: Sets, dataset: Dataset) -> Path:
    """Create and return the folder for a set: ``root``, or a subfolder if there are several sets.

    ``root`` must exist.
    """
    folder = root if len(sets) == 1 else root / dataset.name
    folder.mkdir(exist_ok=True)
    return folder


def read_folders(root: Path, dataset: Dataset) -> list[Path]:
    """Return the folders that may contain a set, the more specific one first.

    A link in ``root`` could lead to files outside it, so it is left out.
    """
    specific = root / dataset.name
    return [root] if specific.is_symlink() else [specific, root]


def is_left_behind(name: str) -> bool:
    """Return whether a file or folder of this name is no content: hidden, or left by a system."""
    return name.startswith(".") or name in LEFT_BEHIND


def content_of(path: Path) -> Path:
    """Return the folder that holds the files of a set.

    That is ``path`` itself, or a folder within, as deep as each folder holds one other alone.
    """
    while path.is_dir():
        entries = [entry for entry in path.iterdir() if not is_left_behind(entry.name)]
        if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
            break
        path = entries[0]
    return path


def only_file(path: Path, files: list[Path], expected: str) -> Path:
    """Return the only one of the ``files`` found at ``path``.

    Raises:
        UserError: there is no file or more than one; the message calls it ``expected``.
    """
    if len(files) == 1:
        return files[0]
    deeper = sorted(path.glob(f"*/{expected}"))
    if not files and len(deeper) == 1:
        raise UserError(
            f"{path}: no {expected}, but there is one in {deeper[0].parent.name}; move it up"
        )
    raise UserError(f"{path}: {'no' if not files else 'more than one'} {expected}")
