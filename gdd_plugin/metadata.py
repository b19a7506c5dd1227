"""Metadata about the sampling for the record. Field names are the keys in the record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class ModelMetadata:
    """The model, its adapter if it has one, and how they are run.

    Attributes:
        dtype: data type of the network that removes the noise.
        size: height and width of the model's images in pixels.
        steps: steps from noise to an image.
        model_dataset: the dataset whose images alone the model was trained on, if it is known.
    """

    model: str
    model_sha256: str
    model_trained_on: str
    model_licence: str
    dtype: str
    size: int
    lora: str | None = None
    lora_sha256: str | None = None
    steps: int = 1
    model_dataset: str | None = None


@dataclass(frozen=True)
class SamplingMetadata:
    """How images are sampled and augmented.

    Attributes:
        batch: images per forward pass.
        lanes: number of workers that generate batches concurrently.
        prompts: style or template of the prompts.
        prompts_encoded: number of distinct prompts.
        prompts_seconds: time taken to encode them.
        copies: augmented copies of each sampled image.
    """

    batch: int
    threads: int
    lanes: int
    prompts: str
    prompts_encoded: int
    prompts_seconds: float
    pda: str
    copies: int


@dataclass(frozen=True)
class DecoderMetadata:
    """The decoder that was used, and why.

    Attributes:
        decoder_because: why this decoder was chosen.
        decoder_map: kind of map that was fitted: ``ridge`` or ``convolutional``.
        decoder_psnr: PSNR against the exact decoder in dB, if it was measured.
        decoder_psnr_worst_image, decoder_psnr_by_class: that of the worst image, and of each class.
        decoder_sharpness: contrast of neighbouring pixels, relative to the exact decoder's.
        decoder_model, decoder_sha256: name of the tiny decoder and hash of its weights.
        decoder_seconds: time taken to choose the decoder.
    """

    decoder: str
    decoder_because: str
    decoder_map: str | None = None
    decoder_psnr: float | None = None
    decoder_psnr_worst_image: float | None = None
    decoder_psnr_by_class: list[float] | None = None
    decoder_sharpness: float | None = None
    decoder_model: str | None = None
    decoder_sha256: str | None = None
    decoder_seconds: float | None = None

    def after(self, seconds: float) -> DecoderMetadata:
        """Return a copy with the time taken to choose the decoder."""
        return replace(self, decoder_seconds=round(seconds, 2))


@dataclass(frozen=True)
class CompileMetadata:
    """Whether the network was compiled.

    Attributes:
        compile: ``yes``, ``no`` or why compiling failed.
        compile_seconds: time taken to compile.
    """

    compile: str = "no"
    compile_seconds: float | None = None


Metadata = ModelMetadata | SamplingMetadata | DecoderMetadata | CompileMetadata


def record_entries(*parts: Metadata) -> dict[str, Any]:
    """Return the entries of ``parts`` for a record, leaving out those that are None."""
    return {
        key: value for part in parts for key, value in asdict(part).items() if value is not None
    }
