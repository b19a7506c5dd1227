"""The pipeline classes whose step is computed directly, and the differences between them.

To compute the step of models with another backbone directly, add an entry to `BACKBONES`. Without
one, `gdd_plugin.models.any_pipeline` calls their pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


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
        predict: ``(network, latents, timestep, embeddings, size) -> output`` of the network that
            removes the noise, for square images of ``size`` pixels.
        network: name of that network in the pipeline.
    """

    pipeline_class: str
    tiny_decoder: str
    load_options: Mapping[str, Any]
    text_encoders: tuple[str, ...]
    embeddings: tuple[str, ...]
    predict: Callable[[Any, Tensor, Tensor, Sequence[Tensor], int], Tensor]
    network: str = "unet"


def _predict_sdxl(
    unet: Any, latents: Tensor, timestep: Tensor, embeddings: Sequence[Tensor], size: int
) -> Tensor:
    """Pass the pooled text embeddings and the sizes of uncropped images to the UNet too."""
    tokens, pooled = embeddings
    # Filled in place, because a copy to a GPU waits for it.
    sizes = pooled.new_full((1, 6), size)
    sizes[:, 2:4] = 0
    conditions = {"text_embeds": pooled, "time_ids": sizes.expand(len(pooled), -1)}
    output: Tensor = unet(latents, timestep, tokens, added_cond_kwargs=conditions).sample
    return output


def _predict_sd(
    unet: Any, latents: Tensor, timestep: Tensor, embeddings: Sequence[Tensor], size: int
) -> Tensor:
    output: Tensor = unet(latents, timestep, embeddings[0]).sample
    return output


SDXL = Backbone(
    pipeline_class="StableDiffusionXLPipeline",
    tiny_decoder="madebyollin/taesdxl",
    load_options={"add_watermarker": False},
    text_encoders=("text_encoder", "text_encoder_2"),
    embeddings=("prompt_embeds", "pooled_prompt_embeds"),
    predict=_predict_sdxl,
)
SD = Backbone(
    pipeline_class="StableDiffusionPipeline",
    tiny_decoder="madebyollin/taesd",
    load_options={"safety_checker": None, "requires_safety_checker": False},
    text_encoders=("text_encoder",),
    embeddings=("prompt_embeds",),
    predict=_predict_sd,
)
BACKBONES = {backbone.pipeline_class: backbone for backbone in (SDXL, SD)}


def backbone_of(pipe: Any) -> Backbone:
    """Return the backbone of a loaded pipeline."""
    return BACKBONES[type(pipe).__name__]
