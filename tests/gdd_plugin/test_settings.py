"""Tests of the options and the settings derived from them."""

import pytest
from sampling import DEFAULTS

from benchmark_adapters.runs import option_values
from benchmark_adapters.types import UserError
from gdd_plugin.plugin import ddbench_methods
from gdd_plugin.settings import parse_settings

(GENERATIVE_TURBO,) = ddbench_methods()


def test_defaults_depend_on_the_dataset():
    assert parse_settings(DEFAULTS, "fashion-mnist").model == "turbo-mini"
    assert parse_settings(DEFAULTS, "cifar100").model == "stabilityai/sdxl-turbo"
    published = parse_settings({**DEFAULTS, "preset": "published"}, "cifar100")
    assert (published.prompts, published.pda, published.copies) == ("bare", "published", 4)
    mixed = parse_settings({**DEFAULTS, "preset": "published", "pda": "none"}, "cifar100")
    assert (mixed.prompts, mixed.pda, mixed.copies) == ("bare", "none", 0)


def test_presets_decide_what_follows_sampling():
    works = [
        parse_settings({**DEFAULTS, "preset": name}, "cifar100").work
        for name in ("default", "sampled", "published")
    ]
    assert [(work.select, work.refine) for work in works] == [
        ("auto", "auto"),
        ("none", "none"),
        ("none", "none"),
    ]


@pytest.mark.parametrize(
    ("options", "copies", "prefers_fresh", "asks_for_copies"),
    [
        ({}, 1, True, False),
        ({"copies": 3}, 3, False, True),
        ({"copies": 0}, 0, False, False),
        ({"pda": "published"}, 4, False, True),
        ({"pda": "none"}, 0, False, False),
        ({"preset": "published"}, 4, False, False),
    ],
)
def test_copies_that_were_asked_for_are_told_from_defaults(
    options, copies, prefers_fresh, asks_for_copies
):
    settings = parse_settings({**DEFAULTS, **options}, "cifar100")
    assert settings.copies == copies
    assert settings.prefers_fresh == prefers_fresh
    assert settings.asks_for_copies == asks_for_copies


@pytest.mark.parametrize(
    "text", ["copies=-1", "copies=101", "batch=0", "batch=5000", "prompts=poem", "prompts={nmae}"]
)
def test_options_out_of_range_are_refused(text):
    with pytest.raises(UserError, match=f"--option {text}: expected "):
        option_values.parse(GENERATIVE_TURBO, [text])
