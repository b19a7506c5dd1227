"""Faster inference with the same results."""

import torch
from diffusers import (
    StableDiffusionXLPipeline,
)

from gdd_plugin.models import registry
from gdd_plugin.models.one_step import seeded_generator


def test_upsampling_is_folded_and_changes_nothing(mini):
    """What makes the decoder and the UNet faster gives the numbers of the layers as they were."""
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
