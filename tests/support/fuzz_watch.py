"""Notice what a reader of untrusted data must not do: write elsewhere, import, or run anything."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events of `sys.audit` that change files: where among their arguments a path is, and the descriptor
# of the folder that it counts from.
CHANGES = {
    "os.mkdir": [(0, 2)],
    "os.remove": [(0, 1)],
    "os.rmdir": [(0, 1)],
    "os.rename": [(0, 2), (1, 3)],
    "os.link": [(1, 3)],
    "os.symlink": [(1, 2)],
    "os.chmod": [(0, 2)],
    "os.chown": [(0, 3)],
    "os.utime": [(0, 3)],
}
FORBIDDEN = {"exec", "import", "marshal.loads", "pickle.find_class", "ctypes.dlopen", "os.system"}
FORBIDDEN_BEGINNINGS = ("subprocess.", "socket.", "os.exec", "os.fork", "os.spawn", "os.posix")


class Watch:
    """Notes the misdeeds of a block of code in this process.

    Attributes:
        is_on: whether it does so. What is imported late is imported before.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.allowed: str | None = None
        self.misdeeds: list[str] = []
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def within(self, folder: Path) -> Iterator[None]:
        """Watch a block, which may write in ``folder`` alone.

        Raises:
            AssertionError: it did something else.
        """
        self.misdeeds, self.allowed = [], str(folder.resolve()) if self.is_on else None
        try:
            yield
        finally:
            self.allowed = None
        assert not self.misdeeds, "; ".join(self.misdeeds[:5])

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.allowed is None:
            return
        places: list[tuple[object, object]] = []
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            places = [(arguments[0], -1)]
        for path, folder in CHANGES.get(event, ()):
            places.append((arguments[path], arguments[folder]))
        if event in FORBIDDEN or event.startswith(FORBIDDEN_BEGINNINGS):
            self.misdeeds.append(f"{event} {str(arguments[:1])[:200]}")
        for path, folder in places:
            if not self._is_allowed(path, folder):
                self.misdeeds.append(f"{event} {path!r}")

    def _is_allowed(self, path: object, folder: object) -> bool:
        """Return whether a path is inside what is allowed. Descriptors were opened before."""
        if isinstance(path, int):
            return True
        within = f"/proc/self/fd/{folder}" if isinstance(folder, int) and folder >= 0 else ""
        name = os.path.realpath(os.path.join(within, os.fsdecode(path)))  # type: ignore[arg-type]
        return name == self.allowed or name.startswith(f"{self.allowed}{os.sep}")
