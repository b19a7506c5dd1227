"""A progress bar for where there is no terminal: it prints a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

# Seconds between two lines, and before the first one.
INTERVAL = 15.0
WITH_END = "{desc}: {n_fmt} of {total_fmt}{unit} after {elapsed}, {remaining} left"
WITHOUT_END = "{desc}: {n_fmt}{unit} after {elapsed}"


class _Lines:
    """A file in which each state of a bar becomes a line."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Do nothing, because lines are flushed one by one."""


class LineBar(tqdm):  # type: ignore[type-arg]
    """A progress bar whose states are lines."""

    def __init__(self, items: Iterable[Any] | None, **settings: Any) -> None:
        # What is left is estimated from the average speed.
        settings |= {"file": _Lines(), "mininterval": INTERVAL, "miniters": 1, "smoothing": 0}
        super().__init__(items, **settings)

    @property
    def format_dict(self) -> Any:
        """Return what the format of a line is filled with, and the format itself."""
        return {**super().format_dict, "bar_format": WITH_END if self.total else WITHOUT_END}

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print a line, unless nothing is done yet."""
        if self.n:
            super().display(msg, pos)
