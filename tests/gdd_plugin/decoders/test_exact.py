"""Tests of the exact decoder."""

import torch
from sampling import draw_latents

from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.images import OutputSpec


def test_exact_decoder_equals_the_pipelines_decoder(mini):
    latents = draw_latents(mini)(20)
    decoded = exact_decoder(mini.pipe, OutputSpec(32, 3))(latents)
    scaled = latents / mini.pipe.vae.config.scaling_factor
    with torch.inference_mode():
        expected = (
            mini.pipe.image_processor.postprocess(
                mini.pipe.vae.decode(scaled).sample, output_type="pt"
            )
            * 255
        )
    assert (decoded - expected).abs().max() < 1e-3
    cropped = exact_decoder(mini.pipe, OutputSpec(28, 3, border=2))(latents)
    assert (cropped - expected[..., 2:30, 2:30]).abs().max() < 1e-3
