"""Pictures for the pages: the image grids of runs, and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leaderboard.files import read_bounded

MAX_GRID_BYTES = 20 * 2**20
# A small file can hold a huge number of pixels.
MAX_GRID_PIXELS = 40 * 10**6
# Height and width of a confusion matrix.
MATRIX_PIXELS = 600
PNG = b"\x89PNG\r\n\x1a\n"


def copy_grid(folder: Path, target: Path) -> bool:
    """Copy the image grid of the run in ``folder`` to ``target``, and return whether it has one.

    The folder is untrusted. Only a PNG file of bounded size is copied, and never a link, which
    could point to any file of the reader.
    """
    source = folder / "grid.png"
    try:
        data = b"" if source.is_symlink() else read_bounded(source, MAX_GRID_BYTES)
    except (OSError, ValueError):
        return False
    # These bytes are in the first chunk, IHDR.
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if not data.startswith(PNG) or not 0 < width * height <= MAX_GRID_PIXELS:
        return False
    target.write_bytes(data)
    return True


def heat(matrix: Sequence[Sequence[int]]) -> list[list[tuple[str, int]]]:
    """Return each cell's share of its true class in per cent, and a colour step from 0 to 9."""
    shares = [[count / max(sum(row), 1) for count in row] for row in matrix]
    return [[(f"{100 * share:.0f}", min(9, int(10 * share))) for share in row] for row in shares]


def draw_matrix(matrix: Sequence[Sequence[int]], target: Path) -> None:
    """Write a PNG in which a darker cell has a larger share of its true class."""
    from PIL import Image

    totals = [max(sum(row), 1) for row in matrix]
    pixels = bytes(
        255 - round(255 * count / total)
        for row, total in zip(matrix, totals, strict=True)
        for count in row
    )
    scale = max(1, MATRIX_PIXELS // len(matrix))
    size = len(matrix) * scale
    picture = Image.frombytes("L", (len(matrix), len(matrix)), pixels)
    picture.resize((size, size), Image.Resampling.NEAREST).save(target)
