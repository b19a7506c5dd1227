"""Helpers for text: untrusted values on one line, nouns after a number, and durations."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Python's character for a byte that is not UTF-8 is this number plus the byte.
FIRST_ODD_BYTE = 0xDC00
MAX_PATH = 4096
# Control characters other than line breaks, those without a width, those that set the direction of
# writing, other line breaks, and halves of characters.
CONTROLS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def one_line(value: object, most: int = 500) -> str:
    r"""Return ``value`` as one line of at most ``most`` characters, plus ``...`` if it was cut.

    Control characters, which could write anywhere on a terminal, become spaces. Each sequence of
    whitespace becomes one space. Bytes of file names that are not UTF-8 are shown as ``\xff``.
    """
    text = str(value)
    # Untrusted text can be megabytes long.
    head = text[: 4 * most]
    if not head.isprintable():
        head = "".join(c if c.isprintable() else _substitute(c) for c in head)
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


def _substitute(character: str) -> str:
    """Return what is shown in place of a character that is not printable."""
    byte = ord(character) - FIRST_ODD_BYTE
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else " "


def shown_path(path: object) -> str:
    """Return a path as it is if it is printable, so that programs can use it, else in one line."""
    text = str(path)
    return text if text.isprintable() else one_line(text, MAX_PATH)


def without_controls(text: str) -> str:
    """Return a text of several lines with spaces in place of what would control its display."""
    return CONTROLS.sub(" ", text)


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
