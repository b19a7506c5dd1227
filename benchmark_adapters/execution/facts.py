"""Turn what a method reports into plain JSON. A fact that has no such form never ends a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

# Bounds of what a record holds.
MAX_ITEMS, MAX_DEPTH, MAX_NUMBER = 100_000, 10, 1e300


class NotPlain(Exception):
    """Raised if a value has no plain form. The message says what it is."""


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a value as JSON has it.

    Numbers and arrays of numpy and torch become numbers and lists, a path its last part, and the
    keys of a mapping text.

    Raises:
        NotPlain: the value, or one in it, is not finite, too large, or of another type.
    """
    if value is None or isinstance(value, bool):
        return value
    # numpy's numbers and texts are among these.
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float):
        return _number(int(value) if isinstance(value, int) else float(value))
    if isinstance(value, PurePath):
        return value.name
    if depth == 0:
        raise NotPlain("nested too deeply")
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth - 1) for key, item in _bounded(value.items())}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth - 1) for item in _bounded(value)]
    # Arrays and tensors of numpy, torch and their kin, and their numbers.
    if callable(getattr(value, "tolist", None)):
        if math.prod(getattr(value, "shape", ())) > MAX_ITEMS:
            raise NotPlain(f"an array with more than {MAX_ITEMS} numbers")
        return plain(value.tolist(), depth - 1)
    raise NotPlain(f"of type {type(value).__name__}")


def _number(value: int | float) -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotPlain(f"{value}, not a finite number")
    if abs(value) >= MAX_NUMBER:
        raise NotPlain("a number beyond 1e300")
    return value


def _bounded(items: Any) -> Any:
    if len(items) > MAX_ITEMS:
        raise NotPlain(f"longer than {MAX_ITEMS} items")
    return items
