"""SDXL's shapes with random weights, float32 on a CPU: an ordinary pipeline call against our sampler. Needs 16 GB of memory."""

import statistics
import time

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fitted import RidgeDecoder
from gdd_plugin.decoders.images import OutputSpec
from gdd_plugin.models import loading, optimize, turbo_mini
from gdd_plugin.models.one_step import TurboSampler, seeded_generator

pytestmark = pytest.mark.full_size
PROMPT = "goldfish"
TARGET = OutputSpec(32, 3)


def text_config(**shape):
    return CLIPTextConfig(vocab_size=49_408, max_position_embeddings=77, **shape)


@pytest.fixture(scope="module")
def pipe():
    """As in the configuration files of stabilityai/sdxl-turbo; the tokenizer alone is turbo-mini's."""
    torch.manual_seed(0)
    words = turbo_mini.tokenizer([PROMPT])
    words.model_max_length = 77
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
        scaling_factor=0.13025,
    )
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
    made = StableDiffusionXLPipeline(
        vae,
        CLIPTextModel(small),
        CLIPTextModelWithProjection(large),
        words,
        words,
        unet,
        turbo_mini.scheduler(),
        add_watermarker=False,
    )
    made.scheduler.register_to_config(prediction_type="epsilon")
    made.set_progress_bar_config(disable=True)
    return made


def sampler(pipe, monkeypatch, size):
    """A sampler around the pipeline in memory: nothing of 14 GB is written to disk."""
    monkeypatch.setattr(loading, "load", lambda *arguments: pipe)
    # The other side is to stay as it is.
    monkeypatch.setattr(optimize, "optimize", lambda pipe: None)
    turbo = TurboSampler("turbo-mini", size=size)
    turbo.border = 0
    turbo.encode([PROMPT])
    return turbo


def seconds(make, rounds=2):
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        make()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


@torch.inference_mode()
def test_full_size_against_the_pipeline(pipe, monkeypatch, alternate, show):
    big, small = sampler(pipe, monkeypatch, 512), sampler(pipe, monkeypatch, 256)

    def fitted(turbo, count):
        side = turbo.size // 8
        made = RidgeDecoder(
            torch.randn(2, 4, side, side), 255 * torch.rand(2, 3, 32, 32), TARGET, turbo.size
        )
        return lambda: made(
            turbo.latents(
                [PROMPT] * count, [seeded_generator(0, 0, index) for index in range(count)]
            )
        )

    def call():
        pipe(PROMPT, num_inference_steps=1, guidance_scale=0.0).images[0].resize((32, 32))

    batch, both = 4, {}
    large, several = fitted(big, 1), fitted(small, batch)

    def others():
        call_seconds = seconds_of(call)
        both.setdefault("call", []).append(call_seconds)
        both.setdefault("256", []).append(seconds_of(several) / batch)

    mine, _ = alternate(large, others, rounds=2)
    theirs, tiny_ones = (statistics.median(both[side][1:]) for side in ("call", "256"))
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


def seconds_of(make):
    began = time.perf_counter()
    make()
    return time.perf_counter() - began


@torch.inference_mode()
def test_decoders_of_full_size(pipe, benchmark, show):
    latents = torch.randn(1, 4, 64, 64)
    net = AutoencoderTiny().eval()
    own = exact_decoder(pipe, TARGET)
    plain = seconds(lambda: own(latents))
    optimize.fold_upsampling(pipe.vae)
    folded = seconds(lambda: own(latents))
    tiny = seconds(lambda: net.decode(latents))
    made = RidgeDecoder(torch.randn(2, 4, 64, 64), 255 * torch.rand(2, 3, 32, 32), TARGET, 512)
    benchmark.pedantic(lambda: made(latents), rounds=5)
    fitted = benchmark.stats.stats.median
    show(
        "decoder at 512 px, s per image",
        f"vae {folded:.1f}, tiny {tiny:.2f}, fitted {fitted:.4f}",
        f"{plain:.1f} (the VAE as it is)",
        f"{plain / folded:.2f}x",
        "",
    )
    assert folded < 1.1 * plain
    assert fitted < tiny < folded
