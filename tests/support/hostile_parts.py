"""What hostile files are made of."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
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


def directory(content: bytes) -> tuple[int, int]:
    """Return where the directory of a zip file without a comment starts and ends."""
    size, start = struct.unpack_from("<2I", content, len(content) - 10)
    return start, start + size


def with_sizes(content: bytes, size: int) -> bytes:
    """Return a zip file whose directory says another size for each member than it has."""
    changed = bytearray(content)
    at, end = directory(content)
    while at < end:
        struct.pack_into("<I", changed, at + 24, size)
        at += 46 + sum(struct.unpack_from("<3H", content, at + 28))
    return bytes(changed)


def repeated_directory(content: bytes, names: Iterable[bytes]) -> bytes:
    """Return a zip file whose only member is in its directory by many names of one length."""
    start, end = directory(content)
    entry = content[start:end]
    (length,) = struct.unpack_from("<H", entry, 28)
    entries = b"".join(entry[:46] + name + entry[46 + length :] for name in names)
    count = min(len(entries) // len(entry), 0xFFFF)
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    return content[:start] + entries + tail
