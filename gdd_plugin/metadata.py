"""What a record says about the sampling. Field names are the record's keys."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class ModelMetadata:
    """The model, its adapter if it has one, and how both are run.

    Attributes:
        dtype: of the UNet.
        size: height and width of the model's images in pixels.
    """

    model: str
    model_sha256: str
    model_trained_on: str
    model_licence: str
    dtype: str
    size: int
    lora: str | None = None
    lora_sha256: str | None = None


@dataclass(frozen=True)
class SamplingMetadata:
    """How images are sampled and augmented.

    Attributes:
        batch: images per forward pass.
        lanes: workers that make batches at the same time.
        prompts: style or template of the prompts.
        prompts_encoded: number of distinct prompts.
        prompts_seconds: time that encoding them took.
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
    """Which decoder makes the images, and why.

    Attributes:
        decoder_psnr: in dB against the exact decoder, where it was measured.
        decoder_model, decoder_sha256: of the tiny decoder.
        decoder_seconds: time that the choice took.
    """

    decoder: str
    decoder_because: str
    decoder_psnr: float | None = None
    decoder_model: str | None = None
    decoder_sha256: str | None = None
    decoder_seconds: float | None = None

    def after(self, seconds: float) -> DecoderMetadata:
        """Return the same with the time that the choice took."""
        return replace(self, decoder_seconds=round(seconds, 2))


@dataclass(frozen=True)
class CompileMetadata:
    """What became of compiling: ``yes``, ``no`` or why it failed, and the seconds that it took."""

    compile: str = "no"
    compile_seconds: float | None = None


Metadata = ModelMetadata | SamplingMetadata | DecoderMetadata | CompileMetadata


def record_entries(*parts: Metadata) -> dict[str, Any]:
    """Return the entries of ``parts`` for a record, without those that are None."""
    return {
        key: value for part in parts for key, value in asdict(part).items() if value is not None
    }
