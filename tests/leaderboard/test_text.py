"""Untrusted text on one line, and nouns after a number."""

import pytest

from leaderboard.text import name_key, one_line, plural, shown_path, without_controls


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("  two \n\n words\t", "two words"),
        ("a\x1b[31m\u202eb\x00c", "a [31m b c"),
        (5, "5"),
        ("a\udcff\ud800b", "a\\xff b"),
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 10 + "..."),
        (" " * 1000 + "x", "..."),
        ("long " * 10**6, "long long ..."),
    ],
)
def test_one_line_removes_control_characters_and_cuts_long_text(value, line):
    assert one_line(value, 10) == line


@pytest.mark.parametrize(("number", "noun"), [(0, "cores"), (1, "core"), (2, "cores")])
def test_plural_is_singular_only_after_one(number, noun):
    assert plural(number, "core") == noun


def test_plural_takes_an_irregular_form():
    assert (plural(1, "class", "classes"), plural(3, "class", "classes")) == ("class", "classes")


def test_names_that_look_alike_have_one_key():
    alike = ["Team A", "team a", " TEAM\tA", "Team\u200b A", "\uff34eam A"]
    assert len({name_key(name) for name in alike}) == 1
    assert len({name_key(name) for name in ["C++", "C#", "\u961f", "\u961f2"]}) == 4


def test_paths_that_can_be_printed_are_shown_as_they_are():
    assert shown_path("two  spaces/né") == "two  spaces/né"
    assert shown_path("a\nb\x1b[2J\udcff") == "a b [2J\\xff"


def test_pages_keep_their_lines_and_letters_alone():
    assert without_controls("a\tb\n\x1b[2J é日\xa0\u202e\udcff") == "a b\n [2J é日\xa0  "
