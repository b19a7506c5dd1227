"""Tests of tiny decoders."""

import math

import pytest
import torch
from diffusers import (
    AutoencoderTiny,
)
from sampling import draw_latents, make_tiny

from benchmark_adapters.types import UserError
from gdd_plugin.decoders.choose import DecoderContext, choose
from gdd_plugin.decoders.images import OutputSpec


def context_for(turbo, output, device="cpu", images=None, tiny=""):
    return DecoderContext(
        turbo.pipe, output, turbo.size, device, draw_latents(turbo), images, tiny, classes=10
    )


@pytest.fixture
def tiny_folder(tmp_path):
    """Return the folder of an untrained tiny decoder, in the layout of TAESDXL."""
    make_tiny().save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_tiny_decoder_takes_the_latents_of_the_pipeline(mini, tiny_folder):
    latents = draw_latents(mini)(3)
    choice = choose("tiny", context_for(mini, OutputSpec(32, 3), tiny=tiny_folder))
    net = AutoencoderTiny.from_pretrained(tiny_folder)
    with torch.inference_mode():
        expected = (net.decode(latents).sample * 127.5 + 127.5).clamp(0, 255)
    assert (choice.decoder(latents) - expected).abs().max() < 1e-3
    assert choice.metadata.decoder == "tiny"
    assert math.isfinite(choice.metadata.decoder_psnr)


def test_missing_tiny_decoder_is_reported_in_one_line(mini, tmp_path):
    with pytest.raises(
        UserError, match=r"could not load the tiny decoder .* with --option tiny=DIR"
    ) as caught:
        choose("tiny", context_for(mini, OutputSpec(28, 1, 2), tiny=str(tmp_path)))
    assert "\n" not in str(caught.value)
