"""Pictures on pages: the images of runs, and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leaderboard.files import read_bounded

MAX_GRID_BYTES = 20 * 2**20
MAX_GRID_PIXELS = 40 * 10**6  # a small file can hold very many
MATRIX_PIXELS = 600  # height and width of a confusion matrix
PNG = b"\x89PNG\r\n\x1a\n"


def copy_grid(folder: Path, target: Path) -> bool:
    """Copy the grid of the run in ``folder`` to ``target``; return whether there is one.

    The folder is untrusted: only a PNG file of bounded size is copied, and no link, which could
    lead to any file of the reader.
    """
    source = folder / "grid.png"
    try:
        data = b"" if source.is_symlink() else read_bounded(source, MAX_GRID_BYTES)
    except (OSError, ValueError):
        return False
    # Of the first chunk, IHDR.
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if not data.startswith(PNG) or not 0 < width * height <= MAX_GRID_PIXELS:
        return False
    target.write_bytes(data)
    return True


def heat(matrix: Sequence[Sequence[int]]) -> list[list[tuple[str, int]]]:
    """Return for each cell the per cent of its true class, and a step of 0 to 9 for its colour."""
    shares = [[count / max(sum(row), 1) for count in row] for row in matrix]
    return [[(f"{100 * share:.0f}", min(9, int(10 * share))) for share in row] for row in shares]


def draw_matrix(matrix: Sequence[Sequence[int]], target: Path) -> None:
    """Write a PNG in which each cell's darkness is its share of the true class."""
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
