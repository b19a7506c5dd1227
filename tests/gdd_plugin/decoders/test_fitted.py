"""Tests of the decoders that are fitted at the start of a run."""

import pytest
import torch
from sampling import draw_latents

from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fidelity import psnr
from gdd_plugin.decoders.fitted import convolutional
from gdd_plugin.decoders.fitted.convolutional import ConvolutionalDecoder
from gdd_plugin.decoders.fitted.ridge import RidgeDecoder
from gdd_plugin.decoders.images import OutputSpec, to_size


@pytest.mark.parametrize(
    ("size", "latent", "channels"), [(32, 64, 3), (64, 64, 3), (32, 48, 1), (28, 8, 1), (32, 8, 3)]
)
def test_ridge_decoder_recovers_a_linear_map(size, latent, channels):
    """Use latents that contain the picture itself, scaled to the size of the latents."""
    source = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(20, 3, 6, 6, generator=source) * 255,
        (latent, latent),
        mode="bicubic",
        antialias=True,
    ).clamp(0, 255)
    pixels = to_size(smooth, size, channels).clamp(0, 255)
    latents = torch.cat([smooth / 127.5 - 1, smooth[:, :1] / 255], 1)
    decoder = RidgeDecoder(latents[:12], pixels[:12], OutputSpec(size, channels), 8 * latent)
    assert decoder(latents[12:]).shape == pixels[12:].shape
    assert psnr(decoder(latents[12:]), pixels[12:]) > 32


def test_ridge_decoder_crops_the_border(mini):
    target = OutputSpec(8, 1, border=2)
    exact = exact_decoder(mini.pipe, target)
    decoder = fitted(RidgeDecoder, mini, target)
    latents = draw_latents(mini)(52, 1)
    assert decoder(latents).shape == (52, 1, 8, 8)
    measured = psnr(decoder(latents), exact(latents))
    # The decoder is far better than the mean image.
    mean = exact(latents).mean(0, keepdim=True).expand(52, -1, -1, -1)
    assert measured > psnr(mean, exact(latents)) + 8


def fitted(kind, turbo, output):
    """Return a decoder of this ``kind`` for images of ``turbo``."""
    latents = draw_latents(turbo)(kind.samples)
    return kind(latents, exact_decoder(turbo.pipe, output)(latents), output, turbo.size)


@pytest.mark.parametrize("kind", [RidgeDecoder, ConvolutionalDecoder])
def test_fitted_decoder_is_the_same_in_every_process_of_a_run(mini, monkeypatch, kind):
    """It depends on no random numbers but its own, and leaves those of others alone."""
    monkeypatch.setattr(convolutional, "STEPS", 20)
    target = OutputSpec(8, 3, 2)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = fitted(kind, mini, target)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    # A decoder is chosen in inference mode.
    with torch.inference_mode():
        other = fitted(kind, mini, target)
    latents = draw_latents(mini)(3)
    assert torch.equal(one(latents), other(latents))


def test_convolutional_decoder_is_clearly_closer_than_ridge_regression(mini, monkeypatch):
    """A quarter of its training is enough for that."""
    monkeypatch.setattr(convolutional, "STEPS", 500)
    target = OutputSpec(14, 1, 2)
    latents = draw_latents(mini)(64, 1)
    exact = exact_decoder(mini.pipe, target)(latents)
    close, closer = (
        psnr(fitted(kind, mini, target)(latents), exact)
        for kind in (RidgeDecoder, ConvolutionalDecoder)
    )
    assert closer > close + 1


@pytest.mark.parametrize(
    ("size", "border", "latent", "channels"),
    [(32, 0, 64, 3), (64, 0, 64, 3), (32, 0, 48, 1), (28, 2, 8, 1), (28, 0, 8, 3)],
)
def test_convolutional_decoder_makes_the_datasets_images(
    monkeypatch, size, border, latent, channels
):
    """Among them are several latents for a pixel, and pixels that latents don't divide into."""
    monkeypatch.setattr(convolutional, "STEPS", 2)
    latents = torch.randn(4, 4, latent, latent)
    pixels = 255 * torch.rand(4, channels, size, size)
    decoder = ConvolutionalDecoder(latents, pixels, OutputSpec(size, channels, border), 8 * latent)
    decoded = decoder(latents)
    assert decoded.shape == pixels.shape
    assert decoded.dtype == torch.float32
    assert decoded.min() >= 0
    assert decoded.max() <= 255


@pytest.fixture
def two_threads():
    """Let torch use two threads, and then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_convolutional_map_does_not_depend_on_the_number_of_cores(monkeypatch):
    monkeypatch.setattr(convolutional, "STEPS", 20)
    latents, pixels = torch.randn(64, 4, 8, 8), 255 * torch.rand(64, 3, 16, 16)
    one = ConvolutionalDecoder(latents, pixels, OutputSpec(16, 3), 64)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    other = ConvolutionalDecoder(latents, pixels, OutputSpec(16, 3), 64)
    assert torch.equal(one(latents), other(latents))
