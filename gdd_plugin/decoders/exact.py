"""Decode with the model's own decoder, or with another autoencoder from diffusers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gdd_plugin.decoders.images import Decoder, OutputSpec, to_size

# Number of 512 px images to decode at once. Larger chunks crashed on GPUs, and they do not fit into
# a CPU's cache.
CHUNK = 16


def exact_decoder(pipe: Any, output: OutputSpec) -> Decoder:
    """Return the pipeline's own decoder."""
    return decoder_of(pipe.vae, output)


def decoder_of(autoencoder: Any, output: OutputSpec) -> Decoder:
    """Return a decoder that decodes the pipeline's scaled latents with ``autoencoder``."""
    return torch.inference_mode()(differentiable_decoder(autoencoder, output))


def differentiable_decoder(autoencoder: Any, output: OutputSpec) -> Decoder:
    """Return the decoder of `decoder_of`, through which gradients flow to the latents."""
    config, device = autoencoder.config, autoencoder.device
    # Created once, because a copy to a GPU waits for it.
    mean, std = (_per_channel(config, name, device) for name in ("latents_mean", "latents_std"))

    def decode(latents: Tensor) -> Tensor:
        images = []
        for chunk in latents.split(_chunk_size(latents)):
            z = chunk / config.scaling_factor
            if mean is not None and std is not None:
                z = z * std + mean
            pixels = crop(autoencoder.decode(z.to(autoencoder.dtype)).sample, output.border).float()
            # Clamping would hide infinite values.
            pixels = torch.where(pixels.isfinite(), pixels, torch.nan)
            images.append(
                to_size((pixels * 127.5 + 127.5).clamp(0, 255), output.size, output.channels)
            )
        return torch.cat(images)

    return decode


def _per_channel(config: Any, name: str, device: torch.device) -> Tensor | None:
    """Return a setting of the autoencoder, float32 [1, c, 1, 1]; None if it isn't set."""
    values = getattr(config, name, None)
    return torch.tensor(values, device=device).view(1, -1, 1, 1) if values else None


def crop(images: Tensor, border: int) -> Tensor:
    """Crop ``border`` pixels from each side of images [..., h, w]."""
    height, width = images.shape[-2:]
    return images[..., border : height - border, border : width - border]


def _chunk_size(latents: Tensor) -> int:
    """Return how many images to decode at once: fewer if they are larger than 512 px."""
    return max(1, min(CHUNK, CHUNK * 64**2 // (latents.shape[-2] * latents.shape[-1])))
