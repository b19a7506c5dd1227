"""Choose the decoder named in the options, or the one that suits the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gdd_plugin.decoders import fitted, tiny
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.images import Decoder, OutputSpec, psnr
from gdd_plugin.metadata import DecoderMetadata

# This PSNR corresponds to a root mean square error of 8 out of 255 grey levels.
MIN_PSNR_DB = 30.0
# Fitting samples and decodes this many images. It pays off in runs of more than twice as many,
# because the exact decoder of these pipelines costs at least as much as the UNet's single step.
FITTING_IMAGES = fitted.FIT_SAMPLES + fitted.HELD_OUT_SAMPLES
MIN_IMAGES = 2 * FITTING_IMAGES + 1
TINY_TEST_SAMPLES = 4


@dataclass(frozen=True)
class DecoderContext:
    """The inputs to the choice of a decoder. They are the same in all processes of a run.

    Attributes:
        pipe: the loaded pipeline.
        output: the images to produce.
        image_size: height and width of the model's images in pixels.
        device: torch device of the model.
        draw: ``n -> latents``, which samples n latents from the run's prompts.
        images: number of images that this process samples; None: as many as the time allows.
        tiny: folder or Hub ID of the tiny decoder.
    """

    pipe: Any
    output: OutputSpec
    image_size: int
    device: str
    draw: Callable[[int], Tensor]
    images: int | None
    tiny: str


@dataclass(frozen=True)
class DecoderChoice:
    """A decoder and its metadata for the record."""

    decoder: Decoder
    metadata: DecoderMetadata


@torch.inference_mode()
def choose(name: str, context: DecoderContext) -> DecoderChoice:
    """Return the decoder called ``name``: ``vae``, ``tiny``, ``fitted`` or ``auto``.

    ``fitted`` falls back to the exact decoder if its PSNR is below `MIN_PSNR_DB`.

    Raises:
        UserError: the tiny decoder cannot be loaded.
    """
    match name:
        case "vae":
            return _choose_exact(context, "requested")
        case "tiny":
            return _choose_tiny(context)
        case "fitted":
            return _choose_fitted(context, "requested")
        case _:
            return _choose_automatically(context)


def _choose_automatically(context: DecoderContext) -> DecoderChoice:
    """Decide by sizes, counts and the type of device, but never by measured times.

    All processes and shards of a set therefore use the same decoder.
    """
    if context.image_size - 2 * context.output.border <= context.output.size:
        return _choose_exact(
            context,
            "the model's images are no larger than the dataset's, so no decoded pixel is discarded",
        )
    if not context.device.startswith("cuda"):
        return _choose_exact(context, "fitting a decoder takes too long without a CUDA GPU")
    if context.images is not None and context.images < MIN_IMAGES:
        return _choose_exact(
            context,
            f"fitting a decoder takes {FITTING_IMAGES} images, "
            f"too many for a run of {context.images}",
        )
    return _choose_fitted(context, "the exact decoder computes pixels that would be discarded")


def _choose_exact(context: DecoderContext, because: str) -> DecoderChoice:
    decoder = exact_decoder(context.pipe, context.output)
    return DecoderChoice(decoder, DecoderMetadata("vae", because))


def _choose_tiny(context: DecoderContext) -> DecoderChoice:
    network = tiny.load_tiny(context.pipe, context.tiny)
    decoder = tiny.tiny_decoder(network, context.output)
    latents = context.draw(TINY_TEST_SAMPLES)
    exact = exact_decoder(context.pipe, context.output)
    metadata = DecoderMetadata(
        "tiny",
        "requested",
        decoder_psnr=round(psnr(decoder(latents), exact(latents)), 2),
        decoder_model=Path(context.tiny).name if Path(context.tiny).exists() else context.tiny,
        decoder_sha256=tiny.weights_sha256(network),
    )
    return DecoderChoice(decoder, metadata)


def _choose_fitted(context: DecoderContext, because: str) -> DecoderChoice:
    exact = exact_decoder(context.pipe, context.output)
    decoder, quality = fitted.fit_decoder(exact, context.output, context.image_size, context.draw)
    metadata = DecoderMetadata("fitted", because, decoder_psnr=round(quality, 2))
    if quality >= MIN_PSNR_DB:
        return DecoderChoice(decoder, metadata)
    because = f"the fitted decoder's PSNR of {quality:.1f} dB is below {MIN_PSNR_DB:g} dB"
    return DecoderChoice(exact, replace(metadata, decoder="vae", decoder_because=because))
