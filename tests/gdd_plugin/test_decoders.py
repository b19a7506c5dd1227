"""Decoders: the exact one, the tiny one, the fitted map, and the choice between them."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.types import UserError
from gdd_plugin import decoders
from gdd_plugin.decoders import Map, Situation, Target, choose, exact, fitted, psnr
from gdd_plugin.sampler import TurboSampler, generator

NAMES = FASHION_MNIST.class_names


@pytest.fixture(scope="module")
def mini():
    return TurboSampler("turbo-mini")


def draw(turbo):
    return lambda count: turbo.latents(
        [NAMES[index % 10] for index in range(count)],
        [generator(0, -1, index) for index in range(count)],
    )


def situation(turbo, target, **other):
    return Situation(
        turbo.pipe, target, turbo.size, draw(turbo), **{"images": None, "remaining": 60.0, **other}
    )


# Size and channels


def fit(images, size, channels):
    return decoders.to_uint8(decoders.to_size(images.float(), size, channels))


def test_images_are_brought_to_size_as_pil_does_it():
    photo = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    photo = np.asarray(
        Image.fromarray(photo).resize((64, 64)).resize((512, 512), Image.Resampling.BICUBIC)
    )
    small = (
        fit(torch.from_numpy(photo.transpose(2, 0, 1).copy())[None], 32, 3)[0].numpy().astype(int)
    )
    expected = (
        np.asarray(Image.fromarray(photo).resize((32, 32), Image.Resampling.BICUBIC))
        .transpose(2, 0, 1)
        .astype(int)
    )
    assert np.abs(small - expected).max() <= 1
    grey = (
        fit(torch.from_numpy(photo.transpose(2, 0, 1).copy())[None], 512, 1)[0, 0]
        .numpy()
        .astype(int)
    )
    assert np.abs(grey - np.asarray(Image.fromarray(photo).convert("L")).astype(int)).max() <= 1


def test_downscaling_is_antialiased():
    stripes = torch.zeros(1, 3, 512, 512, dtype=torch.uint8)
    stripes[..., ::2] = 255
    assert fit(stripes, 32, 3).float().std() < 3


# Exact


def test_the_exact_decoder_is_the_pipelines(mini):
    latents = draw(mini)(20)
    made = exact(mini.pipe, Target(32, 3))(latents)
    scaled = latents / mini.pipe.vae.config.scaling_factor
    with torch.inference_mode():
        expected = (
            mini.pipe.image_processor.postprocess(
                mini.pipe.vae.decode(scaled).sample, output_type="pt"
            )
            * 255
        )
    assert (made - expected).abs().max() < 1e-3
    cropped = exact(mini.pipe, Target(28, 3, border=2))(latents)
    assert (cropped - expected[..., 2:30, 2:30]).abs().max() < 1e-3


# Tiny


@pytest.fixture
def tiny_folder(tmp_path):
    """An untrained tiny decoder in the layout of TAESDXL's folder."""
    torch.manual_seed(0)
    net = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    )
    net.save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_the_tiny_decoder_takes_latents_as_the_pipeline_gives_them(mini, tiny_folder):
    latents = draw(mini)(3)
    choice = choose("tiny", situation(mini, Target(32, 3), tiny=tiny_folder))
    net = AutoencoderTiny.from_pretrained(tiny_folder)
    with torch.inference_mode():
        expected = (net.decode(latents).sample * 127.5 + 127.5).clamp(0, 255)
    assert (choice.decoder(latents) - expected).abs().max() < 1e-3
    assert choice.facts["decoder"] == "tiny"
    assert math.isfinite(choice.facts["decoder_psnr"])


def test_a_tiny_decoder_that_is_not_here_is_one_line(mini, tmp_path):
    with pytest.raises(
        UserError, match=r"can't be loaded .*; give its folder with --option tiny=DIR"
    ) as caught:
        choose("tiny", situation(mini, Target(28, 1, 2), tiny=str(tmp_path)))
    assert "\n" not in str(caught.value)


# Fitted


@pytest.mark.parametrize(
    ("size", "latent", "channels"), [(32, 64, 3), (64, 64, 3), (32, 48, 1), (28, 8, 1), (32, 8, 3)]
)
def test_a_map_finds_what_is_linear(size, latent, channels):
    """Latents that hold the picture itself, scaled to their size, are decoded to it."""
    source = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(20, 3, 6, 6, generator=source) * 255,
        (latent, latent),
        mode="bicubic",
        antialias=True,
    ).clamp(0, 255)
    pixels = decoders.to_size(smooth, size, channels).clamp(0, 255)
    latents = torch.cat([smooth / 127.5 - 1, smooth[:, :1] / 255], 1)
    found = Map(latents[:12], pixels[:12], Target(size, channels), 8 * latent)
    assert found(latents[12:]).shape == pixels[12:].shape
    assert psnr(found(latents[12:]), pixels[12:]) > 32


def test_a_map_crops_the_border(mini):
    target = Target(8, 1, border=2)
    found, quality = fitted(exact(mini.pipe, target), target, 32, draw(mini))
    latents = torch.cat([draw(mini)(100)[48:]])
    assert found(latents).shape == (52, 1, 8, 8)
    measured = psnr(found(latents), exact(mini.pipe, target)(latents))
    assert quality == pytest.approx(measured, abs=1.5)  # what is reported holds for other samples
    mean = exact(mini.pipe, target)(latents).mean(0, keepdim=True)
    assert (
        measured > psnr(mean, exact(mini.pipe, target)(latents)) + 8
    )  # far better than knowing nothing


def test_psnr_by_hand():
    assert psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 25.5)) == pytest.approx(20)


# The choice


def test_a_poor_map_gives_way_to_the_exact_decoder(mini):
    choice = choose("fitted", situation(mini, Target(28, 1, 2)))
    assert choice.facts["decoder"] == "vae"
    assert choice.facts["decoder_psnr"] < decoders.GOOD
    assert "below 30" in choice.facts["decoder_because"]
    latents = draw(mini)(2)
    assert torch.equal(choice.decoder(latents), exact(mini.pipe, Target(28, 1, 2))(latents))


def test_auto_keeps_the_exact_decoder_where_no_pixel_is_thrown_away(mini):
    assert choose("auto", situation(mini, Target(28, 1, 2))).facts["decoder"] == "vae"
    assert choose("auto", situation(mini, Target(32, 3, 0))).facts["decoder"] == "vae"


@pytest.fixture
def slow_decoder(mini, monkeypatch):
    """A situation on a clock of its own, where an image takes 2 ms to sample and 10 ms to decode; the decoder is linear in the latents."""
    now = [0.0]
    monkeypatch.setattr(decoders, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def slow(pipe, target):
        def decode(latents):
            now[0] += 0.01 * len(latents)
            return (
                decoders.to_size(latents[:, :3], target.size, target.channels) * 20 + 127
            ).clamp(0, 255)

        return decode

    def sample(count):
        now[0] += 0.002 * count
        return draw(mini)(count)

    monkeypatch.setattr(decoders, "exact", slow)
    return lambda **run: Situation(
        mini.pipe, Target(8, 3), mini.size, sample, **{"images": None, "remaining": 60.0, **run}
    )


def test_auto_fits_a_map_where_the_exact_decoder_is_dear(slow_decoder):
    facts = choose("auto", slow_decoder()).facts
    assert facts["decoder"] == "fitted"
    assert facts["decoder_psnr"] > decoders.GOOD
    assert "% of an image's time" in facts["decoder_because"]


@pytest.mark.parametrize("run", [{"remaining": 1.0}, {"images": 20}])
def test_auto_fits_no_map_for_a_short_run(slow_decoder, run):
    facts = choose("auto", slow_decoder(**run)).facts
    assert facts["decoder"] == "vae"
    assert "too long for a run of" in facts["decoder_because"]


def test_the_map_is_the_same_in_every_part_of_a_run(mini):
    target = Target(8, 3, 2)
    (one, _), (other, _) = (
        fitted(exact(mini.pipe, target), target, 32, draw(mini)) for _ in range(2)
    )
    latents = draw(mini)(3)
    assert (one(latents) - other(latents)).abs().max() < 0.1
