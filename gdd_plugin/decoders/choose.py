"""Choose the decoder named in the options, or the one that suits the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark_adapters.types import UserError
from gdd_plugin.decoders import tiny
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fidelity import Fidelity
from gdd_plugin.decoders.fitted.convolutional import ConvolutionalDecoder
from gdd_plugin.decoders.fitted.ridge import RidgeDecoder
from gdd_plugin.decoders.images import Decoder, OutputSpec
from gdd_plugin.metadata import DecoderMetadata

# This PSNR corresponds to a root mean square error of 8 out of 255 grey levels.
MIN_PSNR_DB = 30.0
# Below this ratio of the model's image size to the dataset's, the exact decoder is used.
MIN_RATIO = 4
# Images on which decoders are compared. On a CUDA GPU: at least this many, and one of each class.
# On other devices: exactly this many.
HELD_OUT_SAMPLES, HELD_OUT_ON_CPU = 16, 4
# The convolutional map is fitted if the run samples so many images for each one that this takes.
# How long that is: docs/performance.md.
MIN_IMAGES_PER_DECODE = 20
# Series of noise that the images to fit, and those to compare, are drawn from.
FITTING, COMPARING = 1, 2


@dataclass(frozen=True)
class DecoderContext:
    """The inputs to the choice of a decoder. They are the same in all processes of a run.

    Attributes:
        pipe: the loaded pipeline.
        output: the images to produce.
        image_size: height and width of the model's images in pixels.
        device: torch device of the model.
        draw: ``(n, series) -> latents``, which samples n latents from prompts of all classes in
            turn. Each series has its own noise.
        images: number of images that all processes sample; None: as many as the time allows.
        tiny: folder or Hub ID of the tiny decoder.
        classes: number of classes.
    """

    pipe: Any
    output: OutputSpec
    image_size: int
    device: str
    draw: Callable[[int, int], Tensor]
    images: int | None
    tiny: str
    classes: int

    @property
    def held_out(self) -> int:
        """Number of images on which decoders are compared. Without a GPU, each takes long."""
        is_fast = self.device.startswith("cuda")
        return max(HELD_OUT_SAMPLES, self.classes) if is_fast else HELD_OUT_ON_CPU


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
            return _choose_tiny(context, "requested")
        case "fitted":
            return _choose_fitted(context, "requested")
        case _:
            return _choose_automatically(context)


def _choose_automatically(context: DecoderContext) -> DecoderChoice:
    """Decide by sizes, counts, the type of device and the PSNR, but never by measured times.

    All processes and shards of a set therefore use the same decoder, on machines with the same
    tiny decoder.
    """
    side = context.image_size - 2 * context.output.border
    if side < MIN_RATIO * context.output.size:
        return _choose_exact(
            context, f"the model's images are less than {MIN_RATIO} times as large as the dataset's"
        )
    fits, reason = _fits(context)
    if fits:
        because = "the exact decoder computes pixels that would be discarded"
        choice = _choose_fitted(context, because)
        if choice.metadata.decoder == "fitted":
            return choice
        reason = choice.metadata.decoder_because
    if not tiny.is_cached(context.tiny):
        return _choose_exact(context, f"{reason}, and the tiny decoder is not on this machine")
    try:
        choice = _choose_tiny(context, reason)
    except UserError as error:
        return _choose_exact(context, f"{reason}, and {error}")
    quality = choice.metadata.decoder_psnr or 0.0
    if quality >= MIN_PSNR_DB:
        return choice
    return _choose_exact(
        context,
        f"{reason}, and the tiny decoder's PSNR of {quality:.1f} dB is below {MIN_PSNR_DB:g} dB",
    )


def _fits(context: DecoderContext) -> tuple[bool, str]:
    """Return whether to try a fitted decoder, and else why not."""
    if not context.device.startswith("cuda"):
        return False, "fitting a decoder takes too long without a CUDA GPU"
    images = RidgeDecoder.samples + context.held_out
    # The exact decoder of these pipelines costs at least as much as the network's single step.
    if context.images is not None and context.images <= 2 * images:
        return False, (
            f"fitting a decoder takes {images} images, too many for a run of {context.images}"
        )
    return True, ""


def map_for(context: DecoderContext) -> type[RidgeDecoder] | type[ConvolutionalDecoder]:
    """Return the kind of map to fit: the convolutional one in runs of many images.

    If a run samples as many as the time allows, a GPU makes many, and a CPU perhaps few.
    """
    if context.images is None:
        return ConvolutionalDecoder if context.device.startswith("cuda") else RidgeDecoder
    decoded = ConvolutionalDecoder.samples + context.held_out
    is_long = context.images >= MIN_IMAGES_PER_DECODE * decoded
    return ConvolutionalDecoder if is_long else RidgeDecoder


def _choose_exact(context: DecoderContext, because: str) -> DecoderChoice:
    decoder = exact_decoder(context.pipe, context.output)
    return DecoderChoice(decoder, DecoderMetadata("vae", because))


def _choose_tiny(context: DecoderContext, because: str) -> DecoderChoice:
    network = tiny.load_tiny(context.pipe, context.tiny)
    decoder = tiny.tiny_decoder(network, context.output)
    metadata = replace(
        _compared(context, decoder, "tiny", because),
        decoder_model=Path(context.tiny).name if Path(context.tiny).exists() else context.tiny,
        decoder_sha256=tiny.weights_sha256(network),
    )
    return DecoderChoice(decoder, metadata)


def _choose_fitted(context: DecoderContext, because: str) -> DecoderChoice:
    exact = exact_decoder(context.pipe, context.output)
    kind = map_for(context)
    latents = context.draw(kind.samples, FITTING)
    decoder = kind(latents, exact(latents), context.output, context.image_size)
    metadata = replace(_compared(context, decoder, "fitted", because), decoder_map=kind.map)
    quality = metadata.decoder_psnr or 0.0
    if quality >= MIN_PSNR_DB:
        return DecoderChoice(decoder, metadata)
    because = f"the fitted decoder's PSNR of {quality:.1f} dB is below {MIN_PSNR_DB:g} dB"
    return DecoderChoice(exact, replace(metadata, decoder="vae", decoder_because=because))


def _compared(
    context: DecoderContext, decoder: Decoder, name: str, because: str
) -> DecoderMetadata:
    """Compare a decoder with the exact one on images of all classes."""
    exact = exact_decoder(context.pipe, context.output)
    latents = context.draw(context.held_out, COMPARING)
    labels = torch.arange(context.held_out) * context.classes // context.held_out
    fidelity = Fidelity.of(decoder(latents), exact(latents), labels)
    return DecoderMetadata(
        name,
        because,
        decoder_psnr=fidelity.psnr,
        decoder_psnr_worst_image=fidelity.worst_image,
        decoder_psnr_by_class=fidelity.by_class if len(labels) >= context.classes else None,
        decoder_sharpness=fidelity.sharpness,
    )
