"""A progress bar for where there is no terminal: it prints a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

# Seconds between two lines, and before the first one.
INTERVAL = 15.0
# Lines with and without a known total.
BEGIN_OF_TOTAL, BEGIN = "{desc}: {total_fmt}{unit}", "{desc}"
PART_OF_TOTAL = "{desc}: {n_fmt} of {total_fmt}{unit} after {elapsed}, {remaining} left"
PART = "{desc}: {n_fmt}{unit} after {elapsed}"


class _Lines:
    """A file in which each state of a bar becomes a line."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Do nothing, because lines are flushed one by one."""


class LineBar(tqdm):  # type: ignore[type-arg]
    """A progress bar whose states are lines: one when a phase begins, and one now and then."""

    def __init__(self, items: Iterable[Any] | None, **settings: Any) -> None:
        # What is left is estimated from the average speed.
        settings |= {"file": _Lines(), "mininterval": INTERVAL, "miniters": 1, "smoothing": 0}
        # With a delay, however short, a bar is not shown before it is reset for a phase.
        super().__init__(items, delay=1e-9, **settings)

    @property
    def format_dict(self) -> Any:
        """Return what the format of a line is filled with, and the format itself."""
        if self.n:
            line = PART_OF_TOTAL if self.total else PART
        else:
            line = BEGIN_OF_TOTAL if self.total else BEGIN
        return {**super().format_dict, "bar_format": line}
