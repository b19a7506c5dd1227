"""Decode pictures of several file formats into arrays of one shape."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmark_adapters import files, listening
from benchmark_adapters.types import UserError, one_line
from leaderboard.text import plural

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from benchmark_adapters.types import Array

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp")
# JPEG includes files with several pictures, as many phones write them. The first one counts.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
# Pillow's modes with at most 8 bits per channel.
GREY = ("1", "L", "LA")
COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
# Pictures that a message names, and length of the reason for each.
MAX_NAMED, MAX_REASON = 3, 80
OPAQUE = 255
# Largest file, number of pixels, and bytes of what cameras say about a picture. JPEG holds no more
# of the last; other formats can, and reading it may take thousands of times its size in memory.
MAX_BYTES, MAX_PIXELS, MAX_EXIF = 256 * 2**20, 64 * 2**20, 2**16

R = TypeVar("R")


@dataclass(frozen=True)
class Picture:
    """An encoded picture.

    Attributes:
        name: its name in messages.
        content: a file, or the bytes of one.
    """

    name: str
    label: int
    content: Path | bytes


@dataclass(frozen=True)
class Shape:
    """The shape that pictures are decoded to: [channels, size, size]."""

    channels: int
    size: int


class Unusable(Exception):
    """Raised if a picture can't be decoded. The message says why."""


def common_shape(pictures: Sequence[Picture], size: int | None) -> Shape:
    """Return the shape of all pictures: one channel if all are grey, and ``size`` if it is given.

    Raises:
        UserError: pictures can't be read, or ``size`` is None and they are not square and of one
            size.
    """
    headers = _each(lambda _, picture: header(picture), pictures, "reading headers")
    channels = 1 if all(mode in GREY for mode, _ in headers) else 3
    if size is None:
        examples = {pixels: one.name for (_, pixels), one in zip(headers, pictures, strict=True)}
        (width, height), *others = examples
        if others or width != height:
            few = [f"{name} has {one[0]}x{one[1]}" for one, name in examples.items()][:2]
            raise UserError(
                f"the pictures are not square and of one size ({', '.join(few)} pixels): "
                "choose a size with --image-size N, or DIR?size=N in a track file"
            )
        size = width
    return Shape(channels, size)


def decode(pictures: Sequence[Picture], shape: Shape, title: str) -> Array:
    """Return pictures as uint8 [N, C, S, S], resized and cropped to the middle where necessary.

    Raises:
        UserError: pictures can't be read, or are transparent.
    """
    import numpy as np

    images = np.empty((len(pictures), shape.channels, shape.size, shape.size), np.uint8)

    def put(index: int, picture: Picture) -> None:
        images[index] = pixels_of(picture, shape)

    _each(put, pictures, title)
    return images


def _each(
    function: Callable[[int, Picture], R], pictures: Sequence[Picture], title: str
) -> list[R]:
    """Return the results for all indices and pictures, computed in several threads.

    Raises:
        UserError: some pictures can't be used.
    """

    def attempt(index: int, picture: Picture) -> R | Unusable:
        try:
            return function(index, picture)
        except Unusable as error:
            return error

    total = len(pictures)
    pool = ThreadPoolExecutor()
    try:
        tried = pool.map(attempt, range(total), pictures)
        results = list(listening.counted(tried, title, total, " pictures"))
    finally:
        # After an interruption, the others are not decoded.
        pool.shutdown(cancel_futures=True)
    used = [result for result in results if not isinstance(result, Unusable)]
    if len(used) < total:
        _refuse(zip(pictures, results, strict=True), total - len(used), total)
    return used


def _refuse(results: Iterable[tuple[Picture, object]], count: int, total: int) -> None:
    named = [f"{one.name}: {why}" for one, why in results if isinstance(why, Unusable)]
    more = f"; and {count - MAX_NAMED:,} more" if count > MAX_NAMED else ""
    raise UserError(
        f"{count:,} of {total:,} {plural(total, 'picture')} can't be used: "
        f"{'; '.join(named[:MAX_NAMED])}{more}; replace or remove {plural(count, 'it', 'them')}"
    )


@contextmanager
def _opened(picture: Picture) -> Iterator[PillowImage]:
    """Open a picture. Only its header is read.

    Raises:
        Unusable: it is damaged, of another format, or too large, also if the block finds that.
    """
    from PIL import Image

    content = picture.content
    try:
        with (
            io.BytesIO(content) if isinstance(content, bytes) else files.open_regular(content)
        ) as file:
            found = Image.open(file, formats=FORMATS)
            if found.mode not in GREY + COLOUR:
                raise Unusable(f"image mode {found.mode}, expected at most 8 bits per channel")
            if found.width * found.height > MAX_PIXELS:
                raise Unusable(f"{found.width}x{found.height} pixels, which is too large")
            if len(found.info.get("exif", b"")) > MAX_EXIF:
                raise Unusable(f"its EXIF data are larger than {MAX_EXIF} bytes")
            yield found
    except Unusable:
        raise
    # A damaged or hostile picture can make Pillow raise anything.
    except Exception as error:
        raise _unreadable(picture, error) from None


def _unreadable(picture: Picture, error: Exception) -> Unusable:
    from PIL import UnidentifiedImageError

    reason = "damaged, or not PNG, JPEG, WebP or BMP"
    if not isinstance(error, UnidentifiedImageError):
        text = str(error) or type(error).__name__
        if isinstance(picture.content, Path):
            text = text.replace(str(picture.content), "the file")
        reason = one_line(text, MAX_REASON)
    return Unusable(f"not readable as an image ({reason})")


def header(picture: Picture) -> tuple[str, tuple[int, int]]:
    """Return the mode, and width and height in pixels. The picture is not decoded.

    Raises:
        Unusable: it can't be read, or has more than 8 bits per channel.
    """
    with _opened(picture) as found:
        return found.mode, found.size


def pixels_of(picture: Picture, shape: Shape) -> Array:
    """Return a picture as uint8 [C, S, S], resized and cropped to the middle where necessary.

    Raises:
        Unusable: it can't be read, or is transparent.
    """
    import numpy as np
    from PIL import Image, ImageOps

    side = (shape.size, shape.size)
    with _opened(picture) as found:
        upright = ImageOps.exif_transpose(found)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            if np.asarray(upright.getchannel("A")).min() < OPAQUE:
                raise Unusable("it is transparent")
        converted = upright.convert("L" if shape.channels == 1 else "RGB")
        if converted.size != side:
            # This filter averages over all pixels that become one.
            converted = ImageOps.fit(converted, side, Image.Resampling.LANCZOS)
    pixels = np.asarray(converted)
    return pixels[None] if shape.channels == 1 else pixels.transpose(2, 0, 1)
