"""What readers of untrusted files share: how they refuse a file, and reads of a known length."""

from __future__ import annotations

from typing import IO

# Bytes that are read at a time.
CHUNK = 2**20


class Refused(Exception):
    """Raised if an untrusted file is not read. The message says why, but not which file."""


def fill(buffer: memoryview, stream: IO[bytes]) -> None:
    """Read exactly as many bytes as a buffer holds.

    Raises:
        Refused: the stream ends before.
    """
    for start in range(0, len(buffer), CHUNK):
        piece = buffer[start : start + CHUNK]
        data = stream.read(len(piece))
        if len(data) < len(piece):
            raise Refused("it ends too early")
        piece[:] = data
