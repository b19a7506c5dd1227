"""Tests that the networks used in training agree with the pipeline."""

import pytest
import torch

from gdd_plugin.models import turbo_mini
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator
from gdd_plugin.training.networks import Denoiser
from gdd_plugin.training.prompts import PromptSampler

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_one_step_agrees_with_the_pipeline(prediction):
    pipe = TurboSampler("turbo-mini").pipe
    pipe.scheduler = pipe.scheduler.from_config(pipe.scheduler.config, prediction_type=prediction)
    noise = torch.stack(
        [torch.randn(4, 8, 8, generator=seeded_generator(0, 0, index)) for index in range(3)]
    )
    words = ["Sneaker", "a photo of a Bag", "Coat"]
    with torch.inference_mode():
        latents = Denoiser(pipe).one_step(
            noise, PromptSampler(pipe, [words], torch.device("cpu")).tokens(words)
        )
        expected = pipe(
            words, latents=noise, num_inference_steps=1, guidance_scale=0.0, output_type="latent"
        ).images
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)


def test_perfect_denoiser_recovers_the_clean_latents():
    """Replace the UNet with one that knows the noise, to test the formula of the estimate."""
    pipe = turbo_mini.pipeline(["a bag"])
    net = Denoiser(pipe)
    clean, noise = torch.randn(2, 5, 4, 8, 8)
    timesteps = torch.tensor([0, 10, 400, 900, 999])
    alpha, sigma = (share[timesteps][:, None, None, None] for share in (net.alpha, net.sigma))
    answers = {"epsilon": noise, "v_prediction": alpha * noise - sigma * clean}
    for net.prediction, answer in answers.items():
        pipe.unet.forward = lambda *_, answer=answer, **__: type("Output", (), {"sample": answer})
        estimate = net(
            net.add_noise(clean, noise, timesteps),
            timesteps,
            PromptSampler(pipe, [], torch.device("cpu")).tokens(["a bag"]),
        )
        torch.testing.assert_close(estimate, clean, atol=2e-3, rtol=1e-3)
