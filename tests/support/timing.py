"""Seconds of a call."""

import time
from collections.abc import Callable


def seconds_of(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
