"""Write a folder of HTML pages, which replaces an older one only once it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leaderboard.files import read_bounded, replacing_folder

TEMPLATES = Path(__file__).parent / "templates"
STATIC = ("style.css", "sort.js")
INDEX = "index.html"
MAX_INDEX_BYTES = 32 * 2**20
# The generator is named within this many bytes of an index.
HEAD = 4096


@dataclass(frozen=True)
class Layout:
    """The layout of a folder of pages.

    Attributes:
        generator: the command that writes the folder. The index names it.
        folders: names of the subfolders.
    """

    generator: str
    folders: tuple[str, ...]

    @property
    def parts(self) -> set[str]:
        """Return the names of all files and folders in the folder."""
        return {INDEX, *STATIC, *self.folders}


@contextmanager
def replaced(output: Path, layout: Layout) -> Iterator[Path]:
    """Yield a new folder with style and script, which replaces ``output`` if the block succeeds.

    Raises:
        ValueError: ``output`` contains anything other than pages of the same layout.
        OSError: ``output`` can't be written.
    """
    if output.exists() and not _is_replaceable(output, layout):
        raise ValueError(
            f"{output} is not overwritten because `{layout.generator}` did not write everything in "
            "it: choose a new folder"
        )
    with replacing_folder(output) as new:
        for name in layout.folders:
            (new / name).mkdir()
        for name in STATIC:
            shutil.copyfile(TEMPLATES / name, new / name)
        yield new


def _is_replaceable(folder: Path, layout: Layout) -> bool:
    """Return whether a folder is empty or contains only what this layout's generator wrote."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    if not names <= layout.parts:
        return False
    try:
        head = read_bounded(folder / INDEX, MAX_INDEX_BYTES)[:HEAD] if names else b""
    except (OSError, ValueError):
        return False
    return not names or f'content="{layout.generator}"'.encode() in head
