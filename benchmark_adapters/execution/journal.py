"""The events of a method on disk, from which a later process knows what a killed run had made."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from benchmark_adapters.execution.messages import MethodEvent, PhaseProgressed
from benchmark_adapters.files import read_bounded

NAME = "events.jsonl"
MAX_BYTES = 256 * 2**20
# Seconds between two notes of the time. A killed run may have used as much more.
BEAT = 1.0


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event of a process, and the seconds since the start; without an event, a sign of life.

    Attributes:
        is_last: the method has ended, so the seconds are exact.
    """

    seconds: Annotated[float, Meta(ge=0, le=1e9)]
    process: Annotated[int, Meta(ge=0, le=10_000)] = 0
    event: MethodEvent | None = None
    is_last: bool = False


_DECODER = msgspec.json.Decoder(Entry)


class Journal:
    """A file that events are written to as they arrive; ``elapsed`` returns the seconds so far.

    The method runs as the user and could write to the file, too. A journal with anything else than
    what was noted here is deleted at the end.
    """

    def __init__(self, folder: Path, elapsed: Callable[[], float]) -> None:
        self.elapsed, self.noted = elapsed, 0.0
        self._path, self._is_open = folder / NAME, True
        self._size, self._digest = 0, hashlib.sha256()
        self._file = self._path.open("wb", buffering=0)

    def note(self, process: int, event: MethodEvent) -> None:
        """Write an event, unless it only reports progress."""
        if not isinstance(event, PhaseProgressed):
            self._write(Entry(self.elapsed(), process, event))

    def beat(self) -> None:
        """Write the time, at most once in `BEAT` seconds."""
        if self.elapsed() - self.noted >= BEAT:
            self._write(Entry(self.elapsed()))

    def close(self) -> None:
        """Write the time of the end, and delete a journal that the method has changed."""
        self._write(Entry(self.elapsed(), is_last=True))
        self._file.close()
        if not self._is_own():
            self._give_up()

    def _write(self, entry: Entry) -> None:
        self.noted = entry.seconds
        line = msgspec.json.encode(entry) + b"\n"
        self._size += len(line)
        self._digest.update(line)
        try:
            if self._is_open and (self._size > MAX_BYTES or self._file.write(line) != len(line)):
                self._give_up()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Delete the journal; the run goes on. Half of it would tell of less time than was used."""
        self._is_open = False
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _is_own(self) -> bool:
        """Return whether the file has what was noted and nothing else."""
        with contextlib.suppress(OSError, ValueError):
            content = read_bounded(self._path, MAX_BYTES, follows_links=False)
            return hashlib.sha256(content).digest() == self._digest.digest()
        return False


def read(folder: Path) -> Iterator[Entry]:
    """Yield what was noted, up to a line that a killed process left incomplete.

    Raises:
        OSError: there is no journal in ``folder``, or it is a link.
        ValueError: it is far too large, or no regular file.
    """
    for line in read_bounded(folder / NAME, MAX_BYTES, follows_links=False).split(b"\n"):
        try:
            yield _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
