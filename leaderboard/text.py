"""Text from untrusted records and files, made safe for one line of a terminal or table."""

from __future__ import annotations


def one_line(value: object, most: int = 500) -> str:
    """Return ``value`` as one line of at most ``most`` characters, with ``...`` where it was cut.

    Control characters, which could write anywhere on a terminal, become spaces, and runs of
    whitespace become one.
    """
    text = str(value)
    head = text[: 4 * most]  # an untrusted text may have megabytes
    if not head.isprintable():
        head = "".join(c if c.isprintable() else " " for c in head)
    line = " ".join(head.split())
    cut = len(line) > most or len(text) > 4 * most
    return f"{line[:most]}..." if cut else line
