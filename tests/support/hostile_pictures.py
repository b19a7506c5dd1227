"""Hostile pictures, and things other than files."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile_parts import Hostile, set_file, written
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png(side: int, *chunks: bytes, colour: int = 0) -> bytes:
    """Return a square of zeros with further chunks before its pixels: grey, or of ``colour`` 6."""
    start = chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, colour, 0, 0, 0))
    engine, rows = zlib.compressobj(1), []
    for _ in range(side):
        rows.append(engine.compress(bytes((4 if colour else 1) * side + 1)))
    pixels = chunk(b"IDAT", b"".join([*rows, engine.flush()]))
    return PNG + start + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def exif(entries: int, size: int) -> bytes:
    """Return EXIF data with many entries, all of which are the same ``size`` bytes."""
    start = 8 + 2 + 12 * entries + 4
    tags = (struct.pack("<2H2I", tag, 1, size, start) for tag in range(1, entries + 1))
    return b"II*\0" + struct.pack("<IH", 8, entries) + b"".join(tags) + bytes(4 + size)


def picture(name: str, make: Callable[[], bytes], says: str, **options: Any) -> Hostile:
    """Return an attack whose first picture has the bytes that ``make()`` returns."""

    def write(folder: Path) -> Path:
        written("imagefolder", folder)
        set_file(folder, make(), "00000/class00000_id00000.png")
        return folder

    return Hostile(f"picture, {name}", "imagefolder", write, says, **options)


def noise(suffix: str) -> bytes:
    target = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(target, suffix)
    return target.getvalue()


BIG_TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
BIG_PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))
PICTURES = (
    picture("400 million pixels", lambda: png(20_000), "exceeds limit", is_slow=True),
    picture("80 million pixels", lambda: png(9000), "9000x9000 pixels, which is", resizes=True),
    picture(
        "64 million transparent pixels",
        lambda: png(8000, colour=6),
        "it is transparent",
        resizes=True,
        is_slow=True,
    ),
    picture("a text of 50 MB", lambda: png(28, BIG_TEXT), "not readable as an image"),
    picture("a profile of 50 MB", lambda: png(28, BIG_PROFILE), "Decompressed data too large"),
    picture(
        "EXIF data that repeat 65,000 times",
        lambda: png(28, chunk(b"eXIf", exif(65_000, 200_000))),
        "its EXIF data are larger than 65536 bytes",
    ),
    picture(
        "EXIF data that repeat 4,000 times",
        lambda: png(28, chunk(b"eXIf", exif(4_000, 17_000))),
        "",
    ),
    picture("100,000 chunks", lambda: png(28, chunk(b"abcd", b"") * 100_000), ""),
    picture("another format by its content", lambda: noise("GIF"), "not readable as an image"),
    picture("half of it", lambda: noise("PNG")[:400], "not readable as an image"),
    picture("no pixels", lambda: PNG, "not readable as an image"),
)


def other(name: str, make: Callable[[Path], object], says: str, format_name: str) -> Hostile:
    """Return an attack with something else in the place of the only file of a set."""
    files = {"eccv2024": "fashionmnist.pt", "native": "images.safetensors", "npz": "images.npz"}

    def write(folder: Path) -> Path:
        make(folder / files[format_name])
        return folder

    return Hostile(f"{name} for a file, {format_name}", format_name, write, says)


def listen(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(os.path.relpath(path))


def a_picture_pipe(folder: Path) -> Path:
    (folder / "00000").mkdir()
    os.mkfifo(folder / "00000" / "a.png")
    return folder


def a_picture_link(folder: Path) -> Path:
    (folder / "00000").mkdir()
    (folder / "00000" / "a.png").symlink_to("/etc/passwd")
    return folder


def a_name_of_bytes(folder: Path) -> Path:
    set_file(folder / "00000", b"", os.fsdecode(b"\xff.png"))
    return folder


OTHERS = (
    other("a pipe", os.mkfifo, "no fashionmnist.pt", "eccv2024"),
    other("a pipe", os.mkfifo, "no images.safetensors", "native"),
    other("a pipe", os.mkfifo, "can't be opened: not a regular file", "npz"),
    other("a folder", Path.mkdir, "no fashionmnist.pt", "eccv2024"),
    other("a socket", listen, "no fashionmnist.pt", "eccv2024"),
    other("a device", lambda path: path.symlink_to("/dev/zero"), "no fashionmnist", "eccv2024"),
    other("a link", lambda path: path.symlink_to("/etc/passwd"), "is a symbolic link", "eccv2024"),
    Hostile("a pipe for a picture", "imagefolder", a_picture_pipe, "no folders of image files"),
    Hostile("a link for a picture", "imagefolder", a_picture_link, "is a symbolic link"),
    Hostile("a name that is no UTF-8", "imagefolder", a_name_of_bytes, r"00000/\xff.png: not read"),
)
