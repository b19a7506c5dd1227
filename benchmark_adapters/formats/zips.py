"""Open zip files of strangers. Their directory is bounded and checked before a member is read."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from benchmark_adapters.errors import one_line
from benchmark_adapters.formats.bounds import Refused

# About 400,000 members. Python takes ten times as much memory for what it reads of them.
MAX_DIRECTORY_BYTES = 32 * 2**20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 1
MAX_NAME = 160


@contextmanager
def opened(file: BinaryIO, max_bytes: int) -> Iterator[zipfile.ZipFile]:
    """Open a zip file whose members have at most ``max_bytes`` when unpacked.

    Raises:
        Refused: it has more, its directory is too large, members overlap or share a name, or one is
            encrypted or compressed in an unusual way.
        zipfile.BadZipFile: it is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(_BoundedReads(file)) as archive:
        _check(archive.infolist(), size, max_bytes)
        yield archive


class _BoundedReads(io.BufferedIOBase):
    """A file that gives no more than a directory's largest size at once.

    `zipfile` reads a directory as a whole, however long the file says that it is, and members in
    small pieces.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self._file.read(MAX_DIRECTORY_BYTES)
        if size > MAX_DIRECTORY_BYTES:
            raise Refused("its directory is too large")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _check(members: list[zipfile.ZipInfo], size: int, max_bytes: int) -> None:
    names: set[str] = set()
    for member in members:
        shown = one_line(member.filename, MAX_NAME)
        if member.flag_bits & ENCRYPTED:
            raise Refused(f"{shown} is encrypted")
        if member.compress_type not in METHODS:
            raise Refused(f"{shown} is compressed in another way than zip files usually are")
        if member.filename in names:
            raise Refused(f"two members are named {shown}")
        names.add(member.filename)
    if sum(member.compress_size for member in members) > size:
        raise Refused("its members overlap")
    if sum(member.file_size for member in members) > max_bytes:
        raise Refused(f"larger than {max_bytes / 2**30:g} GiB when unpacked")
