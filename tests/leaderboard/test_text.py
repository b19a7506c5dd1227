"""Untrusted text on one line."""

import pytest

from leaderboard.text import one_line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("  two \n\n words\t", "two words"),
        ("a\x1b[31m\u202eb\x00c", "a [31m b c"),
        (5, "5"),
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 10 + "..."),
        (" " * 1000 + "x", "..."),
        ("long " * 10**6, "long long ..."),
    ],
)
def test_one_line(value, line):
    assert one_line(value, 10) == line
