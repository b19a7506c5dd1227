"""Tests of the decoder that is fitted during the run."""

import pytest
import torch
from sampling import draw_latents

from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fidelity import psnr
from gdd_plugin.decoders.fitted import FIT_SAMPLES, RidgeDecoder, fit_decoder
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
    decoder = fit_decoder(exact, target, 32, draw_latents(mini)(FIT_SAMPLES))
    latents = draw_latents(mini)(52, 1)
    assert decoder(latents).shape == (52, 1, 8, 8)
    measured = psnr(decoder(latents), exact(latents))
    # The decoder is far better than the mean image.
    mean = exact(latents).mean(0, keepdim=True).expand(52, -1, -1, -1)
    assert measured > psnr(mean, exact(latents)) + 8


def test_fit_decoder_is_the_same_in_every_process_of_a_run(mini):
    target = OutputSpec(8, 3, 2)
    one, other = (
        fit_decoder(exact_decoder(mini.pipe, target), target, 32, draw_latents(mini)(FIT_SAMPLES))
        for _ in range(2)
    )
    latents = draw_latents(mini)(3)
    assert (one(latents) - other(latents)).abs().max() < 0.1
