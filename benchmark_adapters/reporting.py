"""Say on stderr what a command does, and how far it is: less with --quiet, more with --verbose.

The choice is an environment variable, so that child processes say as much as their parent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tqdm import tqdm

LEVEL_ENV = "DDBENCH_VERBOSITY"
Level = Literal["quiet", "normal", "verbose"]
# Whether the output of methods is shown while they run.
FOLLOW_ENV = "DDBENCH_FOLLOW"
# Seconds before the first line of progress and between two lines, where there is no terminal.
FIRST_LINE, BETWEEN_LINES = 10.0, 30.0


def say(text: str) -> None:
    """Print a line, unless the user wants quiet."""
    if not is_quiet():
        print(text, file=sys.stderr, flush=True)


def detail(text: str) -> None:
    """Print a line for users who want to know more."""
    if os.environ.get(LEVEL_ENV) == "verbose":
        print(text, file=sys.stderr, flush=True)


def is_quiet() -> bool:
    """Return whether the user wants results and problems alone."""
    return os.environ.get(LEVEL_ENV) == "quiet"


def follows() -> bool:
    """Return whether the output of methods is shown while they run."""
    return FOLLOW_ENV in os.environ


class _Lines:
    """A file in which each state of a bar becomes a line."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Do nothing, because lines are flushed one by one."""


def bar(
    items: Iterable[Any] | None = None,
    *,
    desc: str,
    total: int | None = None,
    unit: str = "",
) -> tqdm[Any]:
    """Return a progress bar, or where there is no terminal one that prints a line now and then."""
    from tqdm import tqdm

    settings: dict[str, Any] = {"leave": False, "disable": is_quiet(), "unit": unit}
    # The output of a method would tear a bar.
    if not sys.stderr.isatty() or follows():
        settings |= {
            "file": _Lines(),
            "bar_format": "{desc}: {n_fmt} of {total_fmt}{unit} after {elapsed}, {remaining} left",
            "delay": FIRST_LINE,
            "mininterval": BETWEEN_LINES,
            "miniters": 1,
            # What is left is estimated from the average speed.
            "smoothing": 0,
        }
    return tqdm(items, desc, total, **settings)
