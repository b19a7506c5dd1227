"""The prompts used in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark_adapters.types import Dataset
from gdd_plugin import prompts

# Token IDs [k, length] of k prompts for each of SDXL's two text encoders.
Tokens = tuple[Tensor, Tensor]
BARE_NAME_SHARE = 1 / 3


def training_prompts(dataset: Dataset) -> list[list[str]]:
    """Return all prompts of each class: its name or own prompt, then the method's templates."""
    by_style = [
        prompts.class_prompts(dataset.class_names, dataset.name, style)
        for style in prompts.styles()
    ]
    return [
        list(dict.fromkeys([name, *(prompt for style in by_style for prompt in style[label])]))
        for label, name in enumerate(dataset.prompts or dataset.class_names)
    ]


class PromptSampler:
    """A sampler of training prompts, as token IDs for the two text encoders of a pipeline.

    Attributes:
        by_class: the prompts of each class, starting with the bare class name.
    """

    def __init__(self, pipe: Any, by_class: Sequence[Sequence[str]], device: torch.device) -> None:
        self.by_class, self.device = by_class, device
        self.tokenizers = (pipe.tokenizer, pipe.tokenizer_2)

    def draw(self, classes: Sequence[int]) -> Tokens:
        """Draw a prompt for each of ``classes``.

        A third of the draws return the bare class name. The others are uniform over all prompts of
        the class, including the bare name.
        """
        drawn = []
        for label in classes:
            is_bare = float(torch.rand(())) < BARE_NAME_SHARE
            count = len(self.by_class[label])
            drawn.append(self.by_class[label][0 if is_bare else int(torch.randint(count, ()))])
        return self.tokens(drawn)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the token IDs of ``texts``, padded or truncated to the length of the encoders."""
        first, second = (
            tokenizer(
                list(texts),
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids.to(self.device)
            for tokenizer in self.tokenizers
        )
        return first, second
