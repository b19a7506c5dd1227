"""Tests of the choice of a decoder."""

import math

import pytest
import torch
from hub_cache import put_into_cache
from sampling import draw_latents, make_tiny

from gdd_plugin.decoders import choose as choose_module
from gdd_plugin.decoders.choose import DecoderContext, choose, map_for
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fidelity import Fidelity
from gdd_plugin.decoders.fitted import convolutional
from gdd_plugin.decoders.fitted.convolutional import ConvolutionalDecoder
from gdd_plugin.decoders.fitted.ridge import RidgeDecoder
from gdd_plugin.decoders.images import OutputSpec, to_size
from gdd_plugin.metadata import DecoderMetadata


def context_for(turbo, output, device="cpu", images=None, tiny=""):
    return DecoderContext(
        turbo.pipe, output, turbo.size, device, draw_latents(turbo), images, tiny, classes=10
    )


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


@pytest.mark.parametrize(
    ("device", "images", "kind"),
    [
        # On a CPU, 512 images are decoded to fit to, and 4 to compare; on a GPU, 512 and 16.
        ("cpu", 10_319, RidgeDecoder),
        ("cpu", 10_320, ConvolutionalDecoder),
        ("cuda", 10_559, RidgeDecoder),
        ("cuda", 10_560, ConvolutionalDecoder),
        # As many as the time allows: with a large model on a CPU, these may be a few dozen.
        ("cpu", None, RidgeDecoder),
        ("cuda", None, ConvolutionalDecoder),
    ],
)
def test_convolutional_map_needs_a_run_of_many_images(mini, device, images, kind):
    assert map_for(context_for(mini, OutputSpec(14, 1, 2), device, images)) is kind


def test_fitted_is_convolutional_in_a_run_of_many_images(mini, linear_decoder, monkeypatch):
    monkeypatch.setattr(convolutional, "STEPS", 500)
    context = context_for(mini, OutputSpec(8, 3), images=20_000)
    choice = choose("fitted", context)
    assert (choice.metadata.decoder, choice.metadata.decoder_map) == ("fitted", "convolutional")
    assert isinstance(choice.decoder, ConvolutionalDecoder)
    assert choice.metadata.decoder_psnr > choose_module.MIN_PSNR_DB
    # Too little training makes a poor map.
    monkeypatch.setattr(convolutional, "STEPS", 2)
    choice = choose("fitted", context)
    assert (choice.metadata.decoder, choice.metadata.decoder_map) == ("vae", "convolutional")
    assert "below 30 dB" in choice.metadata.decoder_because


@pytest.mark.parametrize("images", [97, 10_000])
def test_auto_fits_a_decoder_on_a_gpu(mini, linear_decoder, images):
    metadata = choose("auto", context_for(mini, OutputSpec(8, 3), "cuda", images)).metadata
    assert (metadata.decoder, metadata.decoder_map) == ("fitted", "ridge")
    assert metadata.decoder_psnr > choose_module.MIN_PSNR_DB
    assert "pixels that would be discarded" in metadata.decoder_because
    # The worst image and every class can be looked up in the record.
    assert metadata.decoder_psnr_worst_image <= min(metadata.decoder_psnr_by_class)
    assert len(metadata.decoder_psnr_by_class) == 10
    assert 0.8 < metadata.decoder_sharpness < 1.2


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
    [
        ("cuda", 96, "too many for a run of 96"),
        ("cpu", None, "too long without a CUDA GPU"),
        ("cuda", 97, "is below 30 dB"),
    ],
)
def test_auto_uses_a_tiny_decoder_only_from_this_machine(
    mini, tmp_path, hub_cache, monkeypatch, device, images, because
):
    """The rule has no clock, so all processes and shards of a set come to the same decoder.

    The device is only claimed to be a GPU: rules depend on its name.
    """
    context = context_for(mini, OutputSpec(8, 3), device, images, tiny="madebyollin/taesdxl")
    metadata = choose("auto", context).metadata
    assert metadata.decoder == "vae"
    assert because in metadata.decoder_because
    assert "the tiny decoder is not on this machine" in metadata.decoder_because
    make_tiny().save_pretrained(tmp_path / "tiny")
    put_into_cache(hub_cache, "madebyollin/taesdxl", tmp_path / "tiny")
    # An untrained one is no better than none.
    metadata = choose("auto", context).metadata
    assert metadata.decoder == "vae"
    assert "the tiny decoder's PSNR of" in metadata.decoder_because
    monkeypatch.setattr(choose_module, "MIN_PSNR_DB", 0.0)
    monkeypatch.setattr(choose_module, "_choose_fitted", lambda context, because: poor(because))
    metadata = choose("auto", context).metadata
    assert (metadata.decoder, metadata.decoder_model) == ("tiny", "madebyollin/taesdxl")
    assert because in metadata.decoder_because
    # Without a GPU, few images are compared.
    assert bool(metadata.decoder_psnr_by_class) == (device == "cuda")


def poor(because):
    """Return the choice of a decoder that was fitted badly."""
    metadata = DecoderMetadata("vae", "the fitted decoder's PSNR is below 30 dB")
    return choose_module.DecoderChoice(None, metadata)


def test_fidelity_has_the_worst_image_each_class_and_the_sharpness():
    exact = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    images = exact.clone()
    images[5] += 10
    fidelity = Fidelity.of(images, exact, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert fidelity.worst_image == pytest.approx(20 * math.log10(255 / 10), abs=0.01)
    assert fidelity.by_class[2] == pytest.approx(
        fidelity.worst_image + 10 * math.log10(2), abs=0.01
    )
    assert min(fidelity.by_class[:2]) > 100
    assert fidelity.psnr == pytest.approx(fidelity.worst_image + 10 * math.log10(6), abs=0.01)
    assert fidelity.sharpness == 1
    blurred = torch.nn.functional.avg_pool2d(exact, 3, 1, 1)
    assert Fidelity.of(blurred, exact, torch.zeros(6, dtype=torch.int64)).sharpness < 0.5
