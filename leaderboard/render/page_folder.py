"""The folder of a set of HTML pages, which replaces an older one when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from leaderboard.files import read_bounded

TEMPLATES = Path(__file__).parent / "templates"
STATIC = ("style.css", "sort.js")
INDEX = "index.html"
MAX_INDEX_BYTES = 32 * 2**20
HEAD = 4096  # bytes of an index in which its generator is named


@dataclass(frozen=True)
class Layout:
    """What a folder of pages holds.

    Attributes:
        generator: the command that writes it; its index names it.
        folders: next to the index and the static files.
    """

    generator: str
    folders: tuple[str, ...]

    @property
    def parts(self) -> set[str]:
        """Return the names of everything in the folder."""
        return {INDEX, *STATIC, *self.folders}


@contextmanager
def replaced(output: Path, layout: Layout) -> Iterator[Path]:
    """Yield a new folder with style and script that replaces ``output`` when the block ends well.

    Raises:
        ValueError: ``output`` holds anything else than pages of the same layout.
        OSError: it can't be written.
    """
    if output.exists() and not _is_ours(output, layout):
        raise ValueError(
            f"{output} holds more than pages by `{layout.generator}`; "
            "nothing is overwritten, choose a new folder"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        for folder in (new, *(new / name for name in layout.folders)):
            folder.mkdir()
        for name in STATIC:
            shutil.copyfile(TEMPLATES / name, new / name)
        yield new
        if output.exists():
            output.rename(old)
        try:
            new.rename(output)
        except OSError:
            if old.exists() and not output.exists():
                old.rename(output)
            raise


def _is_ours(folder: Path, layout: Layout) -> bool:
    """Return whether a folder is empty, or has only our parts and an index by our generator."""
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
