"""Tests of the prompts used in training."""

from benchmark_adapters.datasets import FASHION_MNIST
from gdd_plugin.models import turbo_mini
from gdd_plugin.training.prompts import training_prompts


def test_training_prompts_contain_bare_names_and_templates_with_articles():
    texts = training_prompts(FASHION_MNIST)
    assert texts[0][0] == "T-shirt/top"
    assert "a photo of a T-shirt" in texts[0]
    assert "a photo of an Ankle boot" in texts[9]
    words = turbo_mini.tokenizer([prompt for known in texts for prompt in known])
    assert (
        max(len(words(prompt).input_ids) for known in texts for prompt in known)
        < turbo_mini.PROMPT_TOKENS
    )
    # The tokenizer can spell any text.
    assert words.unk_token_id not in words("Zebra: ½ ñandú 象").input_ids[1:-1]
