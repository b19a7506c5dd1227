"""Timing of calls."""

import time
from collections.abc import Callable


def seconds_of(function: Callable[[], object]) -> float:
    """Return the duration of a call in seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
