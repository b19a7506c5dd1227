"""Networks with SDXL-Turbo's configuration and random weights."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import nn

from gdd_plugin.models import turbo_mini

# Tokens of a prompt, and widths of its embeddings.
TOKENS, WIDTH, POOLED_WIDTH = 77, 2048, 1280
# Standard deviation of the weights. Activations stay finite in half precision.
SCALE = 0.01


def unet() -> UNet2DConditionModel:
    """Return SDXL-Turbo's UNet of 2.6 billion parameters."""
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def autoencoder() -> AutoencoderKL:
    """Return SDXL's autoencoder, for images of 512 pixels."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
        scaling_factor=0.13025,
    )


def tiny_autoencoder(device: str, dtype: torch.dtype) -> nn.Module:
    """Return a decoder with the structure of TAESDXL and random weights."""
    return _draw(AutoencoderTiny(), device, dtype)


def pipeline(device: str, dtype: torch.dtype) -> Any:
    """Return SDXL-Turbo's pipeline without text encoders, with random weights on ``device``."""
    # Weights are drawn on the device. Initialising them on the CPU takes minutes.
    with torch.device("meta"):
        networks = unet(), autoencoder()
    drawn = [_draw(network, device, dtype) for network in networks]
    scheduler = turbo_mini.scheduler()
    scheduler.register_to_config(prediction_type="epsilon")
    pipe = StableDiffusionXLPipeline(
        drawn[1], None, None, None, None, drawn[0], scheduler, add_watermarker=False
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def embeddings(count: int, device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return random embeddings of ``count`` prompts: of their tokens, and pooled."""
    shapes = (count, TOKENS, WIDTH), (count, POOLED_WIDTH)
    return [torch.randn(shape, device=device).to(dtype) for shape in shapes]


def _draw(network: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    # Plain `Module.to` avoids a warning of diffusers that doesn't apply here.
    network = nn.Module.to(network, dtype).to_empty(device=device).eval().requires_grad_(False)
    for weights in [*network.parameters(), *network.buffers()]:
        weights.normal_(0, SCALE)
    return network
