"""The decoder that the options name, or that suits the run."""

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

MIN_PSNR_DB = 30.0  # a root mean square error of 8 of 255 levels
# Fitting samples and decodes this many images. It pays in runs of more than twice as many, since
# the exact decoders of these pipelines cost at least as much as their UNets' single step.
FITTING_IMAGES = fitted.FIT_SAMPLES + fitted.HELD_OUT_SAMPLES
MIN_IMAGES = 2 * FITTING_IMAGES + 1
TINY_TEST_SAMPLES = 4


@dataclass(frozen=True)
class DecoderContext:
    """What the choice of a decoder depends on. It is the same in all processes that share a set.

    Attributes:
        image_size: height and width of the model's images in pixels.
        device: torch device of the model.
        draw: ``n -> latents`` of n samples from the run's prompts.
        images: samples that this process makes; None: as many as fit into the time.
        tiny: folder or hub id of the tiny decoder.
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
    """A decoder, and what a record says about it."""

    decoder: Decoder
    metadata: DecoderMetadata


@torch.inference_mode()
def choose(name: str, context: DecoderContext) -> DecoderChoice:
    """Return the decoder called ``name``: ``vae``, ``tiny``, ``fitted`` or ``auto``.

    ``fitted`` falls back to the exact decoder where its error is large.

    Raises:
        UserError: the tiny decoder can't be loaded.
    """
    match name:
        case "vae":
            return _choose_exact(context, "asked for")
        case "tiny":
            return _choose_tiny(context)
        case "fitted":
            return _choose_fitted(context, "asked for")
        case _:
            return _choose_automatically(context)


def _choose_automatically(context: DecoderContext) -> DecoderChoice:
    """Decide by sizes, counts and the kind of device alone, never by a clock."""
    if context.image_size - 2 * context.output.border <= context.output.size:
        return _choose_exact(
            context,
            "the model's images are no larger than the dataset's, so it makes no pixel too many",
        )
    if not context.device.startswith("cuda"):
        return _choose_exact(context, "fitting another takes too long without a CUDA GPU")
    if context.images is not None and context.images < MIN_IMAGES:
        return _choose_exact(
            context,
            f"fitting another decodes {FITTING_IMAGES} images, "
            f"too many for a run of {context.images}",
        )
    return _choose_fitted(context, "the exact decoder makes pixels that are thrown away")


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
        "asked for",
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
    because = f"the fitted decoder's PSNR of {quality:.1f} dB is below {MIN_PSNR_DB:g}"
    return DecoderChoice(exact, replace(metadata, decoder="vae", decoder_because=because))
