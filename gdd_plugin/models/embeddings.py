"""The embeddings of prompts, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# Prompts to encode at once.
BATCH = 32


class Embeddings:
    """The embeddings of prompts, computed by the text encoders of a pipeline.

    Attributes:
        by_prompt: the embeddings of each prompt, each [1, ...], in the order of the backbone.
    """

    def __init__(self, pipe: Any, device: str) -> None:
        self._pipe, self._device = pipe, device
        self.by_prompt: dict[str, Sequence[Tensor]] = {}

    @torch.inference_mode()
    def add(self, prompts: Sequence[str]) -> None:
        """Compute the embeddings of new prompts.

        Raises:
            RuntimeError: a prompt is new, but the text encoders were freed.
        """
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.by_prompt]
        if new and self._pipe.text_encoder is None:
            raise RuntimeError(f"{new[0]} was not encoded before the encoders were freed")
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            # The pipeline returns each embedding followed by that of the negative prompt, which is
            # None here.
            embeddings = self._pipe.encode_prompt(
                batch,
                device=self._device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )[::2]
            by_prompt = zip(*(kind.split(1) for kind in embeddings), strict=True)
            self.by_prompt.update(zip(batch, by_prompt, strict=True))

    def of(self, prompts: Sequence[str]) -> list[Tensor]:
        """Return the embeddings of known prompts, each [n, ...]."""
        by_prompt = (self.by_prompt[prompt] for prompt in prompts)
        return [torch.cat(kind) for kind in zip(*by_prompt, strict=True)]
