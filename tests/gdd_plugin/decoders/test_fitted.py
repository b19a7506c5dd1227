"""Tests of the decoder that is fitted during the run."""

import pytest
import torch
from sampling import draw_latents

from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fitted import RidgeDecoder, fit_decoder
from gdd_plugin.decoders.images import OutputSpec, psnr, to_size


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
    decoder, quality = fit_decoder(exact_decoder(mini.pipe, target), target, 32, draw_latents(mini))
    latents = torch.cat([draw_latents(mini)(100)[48:]])
    assert decoder(latents).shape == (52, 1, 8, 8)
    measured = psnr(decoder(latents), exact_decoder(mini.pipe, target)(latents))
    # The reported PSNR holds for other samples.
    assert quality == pytest.approx(measured, abs=1.5)
    # The decoder is far better than the mean image.
    mean = exact_decoder(mini.pipe, target)(latents).mean(0, keepdim=True)
    assert measured > psnr(mean, exact_decoder(mini.pipe, target)(latents)) + 8


def test_fit_decoder_is_the_same_in_every_process_of_a_run(mini):
    target = OutputSpec(8, 3, 2)
    (one, _), (other, _) = (
        fit_decoder(exact_decoder(mini.pipe, target), target, 32, draw_latents(mini))
        for _ in range(2)
    )
    latents = draw_latents(mini)(3)
    assert (one(latents) - other(latents)).abs().max() < 0.1
