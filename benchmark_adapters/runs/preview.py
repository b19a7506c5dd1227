"""Draw a preview of a distilled set: one labelled row per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmark_adapters.types import DistilledSet, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

    from benchmark_adapters.types import Array

COLUMNS = 10
# Characters of a class name.
MAX_NAME = 100
# Side length of an image in the grid, and the space between images, in pixels.
CELL = 64
GAP = 4


def draw(distilled: DistilledSet, columns: int = COLUMNS) -> Image:
    """Draw the first ``columns`` images of each class, enlarged without smoothing."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=16)
    names = [one_line(name, MAX_NAME) for name in distilled.class_names]
    shown = min(columns, distilled.ipc)
    label_width = GAP * 3 + int(max(font.getlength(name) for name in names))
    step = CELL + GAP
    grid = Image.new("RGB", (label_width + shown * step, len(names) * step + GAP), "white")
    pen = ImageDraw.Draw(grid)
    for label, name in enumerate(names):
        top = GAP + label * step
        pen.text((GAP * 2, top + CELL // 2), name, fill="black", font=font, anchor="lm")
        for column in range(shown):
            pixels = _bytes(distilled, label * distilled.ipc + column).transpose(1, 2, 0)
            picture = Image.fromarray(
                np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
            )
            grid.paste(
                picture.resize((CELL, CELL), Image.Resampling.NEAREST),
                (label_width + column * step, top),
            )
    return grid


def _bytes(distilled: DistilledSet, row: int) -> Array:
    """Return an image as uint8; values of a float set outside the range of pixels are clipped."""
    image = distilled.images[row]
    if distilled.normalisation is None:
        return image
    mean, std = (
        np.array(values, np.float32).reshape(-1, 1, 1) for values in distilled.normalisation
    )
    pixels: Array = np.nan_to_num((image * std + mean) * 255).round().clip(0, 255).astype(np.uint8)
    return pixels
