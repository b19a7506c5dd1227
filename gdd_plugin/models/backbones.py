"""The supported pipeline classes, and the differences between them.

To support one-step models with another backbone, add an entry to `BACKBONES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from benchmark_adapters.types import UserError

Conditions = dict[str, Tensor]


@dataclass(frozen=True)
class Backbone:
    """A kind of text-to-image pipeline.

    Attributes:
        pipeline_class: name of the class in diffusers.
        tiny_decoder: Hub ID of the tiny decoder for the pipeline's latents.
        load_options: additional arguments for ``from_pretrained``.
        text_encoders: names of the pipeline's text encoders.
        embeddings: names of the text embeddings in a pipeline call, in the order in which
            ``encode_prompt`` returns them.
        conditions: ``(embeddings, size) -> added_cond_kwargs`` of the UNet, for square images of
            ``size`` pixels.
    """

    pipeline_class: str
    tiny_decoder: str
    load_options: Mapping[str, Any]
    text_encoders: tuple[str, ...]
    embeddings: tuple[str, ...]
    conditions: Callable[[Sequence[Tensor], int], Conditions | None]


def _sdxl_conditions(embeddings: Sequence[Tensor], size: int) -> Conditions:
    """Return the pooled text embeddings and the size conditioning of uncropped images."""
    pooled = embeddings[1]
    sizes = pooled.new_tensor([size, size, 0, 0, size, size])
    return {"text_embeds": pooled, "time_ids": sizes.expand(len(pooled), -1)}


SDXL = Backbone(
    pipeline_class="StableDiffusionXLPipeline",
    tiny_decoder="madebyollin/taesdxl",
    load_options={"add_watermarker": False},
    text_encoders=("text_encoder", "text_encoder_2"),
    embeddings=("prompt_embeds", "pooled_prompt_embeds"),
    conditions=_sdxl_conditions,
)
SD = Backbone(
    pipeline_class="StableDiffusionPipeline",
    tiny_decoder="madebyollin/taesd",
    load_options={"safety_checker": None, "requires_safety_checker": False},
    text_encoders=("text_encoder",),
    embeddings=("prompt_embeds",),
    conditions=lambda embeddings, size: None,
)
BACKBONES = {backbone.pipeline_class: backbone for backbone in (SDXL, SD)}


def backbone_of(pipe: Any) -> Backbone:
    """Return the backbone of a loaded pipeline."""
    return BACKBONES[type(pipe).__name__]


def find_backbone(pipeline_class: str, model: str) -> Backbone:
    """Return the backbone of a pipeline class.

    Raises:
        UserError: the class is not supported; the message names ``model``.
    """
    if pipeline_class not in BACKBONES:
        raise UserError(
            f"model {model} is a {pipeline_class}; "
            f"generative-turbo needs a {' or a '.join(BACKBONES)}"
        )
    return BACKBONES[pipeline_class]
