"""What hostile files are made of."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sample_sets import real_set

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.formats import FORMATS

FORMAT = {format.name: format for format in FORMATS}


@dataclass(frozen=True)
class Hostile:
    """A hostile submission for the dataset fashion-mnist.

    Attributes:
        name: what is hostile about it.
        format: the format in which it is checked.
        write: writes it into a folder, and returns its path.
        says: what its line has in it; empty: it does no harm and is read.
        resizes: check it with ``--image-size``.
        is_slow: writing or reading it takes seconds.
    """

    name: str
    format: str
    write: Callable[[Path], Path]
    says: str
    resizes: bool = False
    is_slow: bool = False


def written(format_name: str, folder: Path) -> Path:
    """Write a good set of real images into ``folder`` and return it."""
    FORMAT[format_name].write({FASHION_MNIST.name: (FASHION_MNIST, real_set(2))}, folder)
    return folder


def set_file(folder: Path, content: bytes, name: str = "fashionmnist.pt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def zipped(
    members: Mapping[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]],
    method: int = zipfile.ZIP_STORED,
) -> bytes:
    """Return a zip file. A list may have a name more than once."""
    target = io.BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return target.getvalue()


def with_sizes(content: bytes, size: int) -> bytes:
    """Return a zip file whose directory says another size for each member than it has."""
    changed = bytearray(content)
    at = changed.find(b"PK\x01\x02")
    while at >= 0:
        struct.pack_into("<I", changed, at + 24, size)
        at = changed.find(b"PK\x01\x02", at + 4)
    return bytes(changed)


def repeated_directory(content: bytes, times: int) -> bytes:
    """Return a zip file whose directory has its entries many times, all of the same members."""
    start = content.index(b"PK\x01\x02")
    end = content.rindex(b"PK\x05\x06")
    entries = content[start:end] * times
    count = min(content.count(b"PK\x01\x02") * times, 0xFFFF)
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    return content[:start] + entries + tail
