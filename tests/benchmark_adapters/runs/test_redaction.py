"""Records reveal nothing about a machine's folders."""

import pytest

from benchmark_adapters.runs import redaction


def test_option_value_shortens_only_paths():
    values = [
        "a photo w/o a {name} /x/",
        "stabilityai/sdxl-turbo",
        "/home/alice/my models/turbo",
        "./turbo",
        "~/turbo",
        3,
        None,
    ]
    assert [redaction.option_value(value) for value in values] == [
        values[0],
        values[1],
        "turbo",
        "turbo",
        "turbo",
        3,
        None,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model folder /home/x/models/mine is no folder", "model folder mine is no folder"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("stabilityai/sdxl-turbo", "stabilityai/sdxl-turbo"),
        ("~/models/mine", "mine"),
        ("file:/home/al:ice/a and //srv/alice/x", "a and x"),
        ("~alice/m, ../../home/alice/w", "m, w"),
        ("either/or and 1/2", "either/or and 1/2"),
    ],
)
def test_redact_paths_removes_folders(text, expected):
    assert redaction.redact_paths(text) == expected
