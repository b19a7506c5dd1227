"""Tests that faster inference keeps the results."""

import torch
from diffusers import (
    StableDiffusionXLPipeline,
)

from gdd_plugin.models import registry
from gdd_plugin.seeds import seeded_generator


def test_folded_upsampling_keeps_the_results(mini):
    """The folded layers of the UNet and the decoder compute the same numbers as the originals."""
    plain = StableDiffusionXLPipeline.from_pretrained(registry.BUNDLED["turbo-mini"])
    assert (
        sum(
            hasattr(layer, "folded")
            for layer in [*mini.pipe.vae.modules(), *mini.pipe.unet.modules()]
        )
        == 3
    )
    latents = (
        mini.latents(["Bag", "Coat"], [seeded_generator(0, 0, 0), seeded_generator(0, 1, 0)])
        / plain.vae.config.scaling_factor
    )
    with torch.inference_mode():
        assert (
            mini.pipe.vae.decode(latents).sample - plain.vae.decode(latents).sample
        ).abs().max() < 1e-4
