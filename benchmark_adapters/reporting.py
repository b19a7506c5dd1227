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


def say(text: str) -> None:
    """Print a line, unless the user wants quiet."""
    if not is_quiet():
        print(text, file=sys.stderr, flush=True)


def detail(text: str) -> None:
    """Print a line for users who want to know more."""
    if is_verbose():
        print(text, file=sys.stderr, flush=True)


def is_quiet() -> bool:
    """Return whether the user wants results and problems alone."""
    return os.environ.get(LEVEL_ENV) == "quiet"


def is_verbose() -> bool:
    """Return whether the user wants to know more."""
    return os.environ.get(LEVEL_ENV) == "verbose"


def follows() -> bool:
    """Return whether the output of methods is shown while they run."""
    return FOLLOW_ENV in os.environ


def bar(
    items: Iterable[Any] | None = None,
    *,
    desc: str,
    total: int | None = None,
    unit: str = "",
) -> tqdm[Any]:
    """Return a progress bar, or where there is no terminal one that prints a line now and then."""
    from tqdm import tqdm

    from benchmark_adapters.line_bar import LineBar

    # The output of a method would tear a bar.
    kind = tqdm if sys.stderr.isatty() and not follows() else LineBar
    return kind(items, desc=desc, total=total, unit=unit, leave=False, disable=is_quiet())
