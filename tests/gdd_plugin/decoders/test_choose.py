"""Tests of the choice of a decoder."""

import pytest
import torch
from sampling import draw_latents

from gdd_plugin.decoders import choose as choose_module
from gdd_plugin.decoders.choose import DecoderContext, choose
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.images import OutputSpec, to_size


def context_for(turbo, output, device="cpu", images=None, tiny=""):
    return DecoderContext(turbo.pipe, output, turbo.size, device, draw_latents(turbo), images, tiny)


def test_choose_falls_back_to_the_exact_decoder_after_a_poor_fit(mini):
    choice = choose("fitted", context_for(mini, OutputSpec(28, 1, 2)))
    assert choice.metadata.decoder == "vae"
    assert choice.metadata.decoder_psnr < choose_module.MIN_PSNR_DB
    assert "below 30 dB" in choice.metadata.decoder_because
    latents = draw_latents(mini)(2)
    assert torch.equal(
        choice.decoder(latents), exact_decoder(mini.pipe, OutputSpec(28, 1, 2))(latents)
    )


def test_auto_keeps_the_exact_decoder_if_no_pixel_is_discarded(mini):
    assert choose("auto", context_for(mini, OutputSpec(28, 1, 2))).metadata.decoder == "vae"
    assert choose("auto", context_for(mini, OutputSpec(32, 3, 0))).metadata.decoder == "vae"


@pytest.mark.parametrize("images", [None, 97, 10_000])
def test_auto_fits_a_decoder_on_a_gpu(mini, linear_decoder, images):
    metadata = choose("auto", context_for(mini, OutputSpec(8, 3), "cuda", images)).metadata
    assert metadata.decoder == "fitted"
    assert metadata.decoder_psnr > choose_module.MIN_PSNR_DB
    assert "pixels that would be discarded" in metadata.decoder_because


@pytest.fixture
def linear_decoder(monkeypatch):
    """Replace the exact decoder with a decoder that can be fitted: it is linear in the latents."""

    def linear(pipe, output):
        return lambda latents: (
            to_size(latents[:, :3], output.size, output.channels) * 20 + 127
        ).clamp(0, 255)

    monkeypatch.setattr(choose_module, "exact_decoder", linear)


@pytest.mark.parametrize(
    ("device", "images", "because"),
    [("cuda", 96, "too many for a run of 96"), ("cpu", None, "too long without a CUDA GPU")],
)
def test_auto_keeps_the_exact_decoder_if_fitting_does_not_pay_off(mini, device, images, because):
    metadata = choose("auto", context_for(mini, OutputSpec(8, 3), device, images)).metadata
    assert metadata.decoder == "vae"
    assert because in metadata.decoder_because
