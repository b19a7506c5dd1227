"""Compare a pipeline call with our sampler, for SDXL's shapes with random weights.

The comparison runs in float32 on a CPU and needs 16 GB of memory.
"""

import statistics

import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    StableDiffusionXLPipeline,
)
from timing import seconds_of
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fitted.ridge import RidgeDecoder
from gdd_plugin.decoders.images import OutputSpec
from gdd_plugin.gpu_check import shapes
from gdd_plugin.models import optimize, turbo_mini
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator

pytestmark = pytest.mark.full_size
PROMPT = "goldfish"
OUTPUT = OutputSpec(32, 3)


def text_config(**shape):
    return CLIPTextConfig(vocab_size=49_408, max_position_embeddings=77, **shape)


@pytest.fixture(scope="module")
def pipe():
    """Return a pipeline configured like stabilityai/sdxl-turbo, with the turbo-mini tokenizer."""
    torch.manual_seed(0)
    tokenizer = turbo_mini.tokenizer([PROMPT])
    tokenizer.model_max_length = 77
    small = text_config(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        projection_dim=768,
    )
    large = text_config(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=20,
        projection_dim=1280,
    )
    pipeline = StableDiffusionXLPipeline(
        shapes.autoencoder(),
        CLIPTextModel(small),
        CLIPTextModelWithProjection(large),
        tokenizer,
        tokenizer,
        shapes.unet(),
        turbo_mini.scheduler(),
        add_watermarker=False,
    )
    pipeline.scheduler.register_to_config(prediction_type="epsilon")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_sampler(pipe, monkeypatch, size):
    """Return a sampler around the pipeline in memory, so that 14 GB need not be saved to disk."""
    # The other side uses the same pipeline, which must stay as it is.
    monkeypatch.setattr(optimize, "optimize", lambda pipe: None)
    turbo = TurboSampler.of(pipe, "cpu", size)
    turbo.encode([PROMPT])
    return turbo


def fit(side, image_size):
    """Return a decoder for latents of width ``side``, fitted to noise, since only speed matters."""
    latents, pixels = torch.randn(2, 4, side, side), 255 * torch.rand(2, 3, 32, 32)
    return RidgeDecoder(latents, pixels, OUTPUT, image_size)


def median_seconds(function, rounds=2):
    """Return the median duration of a call in seconds, after one call that warms up."""
    return statistics.median([seconds_of(function) for _ in range(rounds + 1)][1:])


@torch.inference_mode()
def test_sampling_speed_at_full_size(pipe, monkeypatch, alternate, show):
    big, small = (make_sampler(pipe, monkeypatch, size) for size in (512, 256))

    def sampling(turbo, count):
        decode = fit(turbo.size // 8, turbo.size)
        generators = [seeded_generator(0, 0, index) for index in range(count)]
        return lambda: decode(turbo.latents([PROMPT] * count, generators))

    def call():
        pipe(PROMPT, num_inference_steps=1, guidance_scale=0.0).images[0].resize((32, 32))

    batch = 4
    seconds = {"call": [], "256": []}
    large, several = sampling(big, 1), sampling(small, batch)

    def others():
        seconds["call"].append(seconds_of(call))
        seconds["256"].append(seconds_of(several) / batch)

    mine, _ = alternate(large, others, rounds=2)
    theirs, tiny_ones = (statistics.median(seconds[side][1:]) for side in ("call", "256"))
    show(
        "SDXL 512 px, fitted, s per image",
        f"{mine:.1f}",
        f"{theirs:.1f} (pipeline call)",
        f"{theirs / mine:.1f}x",
        ">= 2.4x",
    )
    show(
        "SDXL 256 px, batch 4, fitted, s per image",
        f"{tiny_ones:.1f}",
        f"{theirs:.1f} (pipeline call, 512 px)",
        f"{theirs / tiny_ones:.1f}x",
        ">= 5x",
    )
    assert theirs / mine > 2.4
    assert theirs / tiny_ones > 5


@torch.inference_mode()
def test_decoding_speed_at_full_size(pipe, benchmark, show):
    latents = torch.randn(1, 4, 64, 64)
    network = AutoencoderTiny().eval()
    decode = exact_decoder(pipe, OUTPUT)
    plain = median_seconds(lambda: decode(latents))
    optimize.fold_upsampling(pipe.vae)
    folded = median_seconds(lambda: decode(latents))
    tiny = median_seconds(lambda: network.decode(latents))
    fitted_decoder = fit(64, 512)
    benchmark.pedantic(lambda: fitted_decoder(latents), rounds=5)
    fitted = benchmark.stats.stats.median
    show(
        "decoder at 512 px, s per image",
        f"vae {folded:.1f}, tiny {tiny:.2f}, fitted {fitted:.4f}",
        f"{plain:.1f} (unmodified VAE)",
        f"{plain / folded:.2f}x",
        "",
    )
    assert folded < 1.1 * plain
    assert fitted < tiny < folded
