"""Helpers for text: untrusted values on one line, nouns after a number, and durations."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


def one_line(value: object, most: int = 500) -> str:
    """Return ``value`` as one line of at most ``most`` characters, plus ``...`` if it was cut.

    Control characters, which could write anywhere on a terminal, become spaces. Each sequence of
    whitespace becomes one space.
    """
    text = str(value)
    # Untrusted text can be megabytes long.
    head = text[: 4 * most]
    if not head.isprintable():
        head = "".join(c if c.isprintable() else " " for c in head)
    line = " ".join(head.split())
    cut = len(line) > most or len(text) > 4 * most
    return f"{line[:most]}..." if cut else line


@lru_cache(maxsize=10_000)
def name_key(name: str) -> str:
    """Return what names share that differ only in case, blanks, invisible or wide characters.

    Only the first 1,000 characters count, since an untrusted name can be megabytes long.
    """
    folded = unicodedata.normalize("NFKC", name[:1000]).casefold()
    return "".join(c for c in folded if c.isprintable() and not c.isspace())


def plural(number: int | float, singular: str, other: str = "") -> str:
    """Return the form of a noun that follows ``number``: ``singular`` after 1, else the plural.

    ``other`` is the plural. It defaults to ``singular`` with an ``s``.
    """
    return singular if number == 1 else other or f"{singular}s"


def duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours, whichever suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
