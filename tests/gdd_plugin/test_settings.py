"""Tests of the options and the settings derived from them."""

import pytest
from sampling import DEFAULTS

from benchmark_adapters.runs.request import parse_options
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


@pytest.mark.parametrize(
    "text", ["copies=-1", "copies=101", "batch=0", "batch=5000", "prompts=poem", "prompts={nmae}"]
)
def test_options_out_of_range_are_refused(text):
    with pytest.raises(UserError, match=f"--option {text}: expected "):
        parse_options(GENERATIVE_TURBO, [text])
