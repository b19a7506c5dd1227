"""Tests of one-step sampling in batches, compared with the pipeline itself."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForText2Image,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionXLPipeline,
)

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.types import UserError
from gdd_plugin.models import registry
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator


@pytest.mark.parametrize("model", ["turbo-mini", "random_turbo"])
def test_sample_agrees_with_the_pipeline(model, random_turbo):
    name = str(random_turbo) if model == "random_turbo" else model
    turbo = TurboSampler(name)
    size = turbo.pipe.unet.config.sample_size
    prompts = ["Sneaker", "Bag", "Sneaker"]
    images = turbo.sample(prompts, [seeded_generator(0, 0, index) for index in range(3)])
    pipe = AutoPipelineForText2Image.from_pretrained(registry.BUNDLED.get(name, name))
    pipe.set_progress_bar_config(disable=True)
    for index, prompt in enumerate(prompts):
        noise = torch.randn(1, 4, size, size, generator=seeded_generator(0, 0, index))
        picture = pipe(prompt, latents=noise, num_inference_steps=1, guidance_scale=0.0).images[0]
        edge = turbo.border
        expected = np.asarray(picture, np.int16).transpose(2, 0, 1)[
            :, edge : 32 - edge, edge : 32 - edge
        ]
        assert np.abs(expected - images[index].numpy()).max() <= 1


def test_sample_does_not_depend_on_the_batch_except_for_rounding(mini):
    sources = lambda: [seeded_generator(3, label, 0) for label in range(10)]  # noqa: E731
    prompts = list(FASHION_MNIST.class_names)
    whole = mini.sample(prompts, sources()).short()
    parts = mini.sample(prompts, sources(), batch=3).short()
    assert (whole - parts).abs().max() <= 1


def test_seeded_generator_depends_on_seed_class_and_index():
    draws = [
        torch.randn(8, generator=seeded_generator(*key))
        for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
    ]
    assert torch.equal(draws[0], draws[4])
    assert not any(torch.equal(draws[0], other) for other in draws[1:4])
    assert not torch.equal(
        torch.randn(8, generator=seeded_generator(1, 11, 0)),
        torch.randn(8, generator=seeded_generator(11, 1, 0)),
    )


def test_sample_encodes_each_prompt_once(mini, monkeypatch):
    calls, encode = [], mini.pipe.encode_prompt
    monkeypatch.setattr(
        mini.pipe,
        "encode_prompt",
        lambda prompt, **named: calls.append(prompt) or encode(prompt, **named),
    )
    mini.sample(
        ["a new one", "another", "a new one"] * 40,
        [seeded_generator(0, 0, index) for index in range(120)],
    )
    assert [prompt for part in calls for prompt in part] == ["a new one", "another"]


def call_pipeline(pipe, prompt, size):
    """Return the latents of an ordinary pipeline call with batch size 1 in float32."""
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, size // 4, size // 4, generator=seeded_generator(0, 0, 0))
    return pipe(
        prompt,
        latents=noise,
        num_inference_steps=1,
        guidance_scale=0.0,
        height=size,
        width=size,
        output_type="latent",
    ).images


@pytest.mark.parametrize("size", [32, 64, 24])
@pytest.mark.parametrize(
    ("kind", "prediction"),
    [
        (EulerAncestralDiscreteScheduler, "epsilon"),
        (EulerAncestralDiscreteScheduler, "v_prediction"),
        (EulerDiscreteScheduler, "epsilon"),
        (EulerDiscreteScheduler, "v_prediction"),
        (EulerDiscreteScheduler, "sample"),
        (LCMScheduler, "epsilon"),
        (LCMScheduler, "v_prediction"),
        (LCMScheduler, "sample"),
    ],
)
def test_direct_step_agrees_with_the_pipeline(random_turbo, tmp_path, kind, prediction, size):
    """With batch size 1, float32 and the same noise, results agree within 1e-4."""
    pipe = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    pipe.scheduler = kind.from_config(
        pipe.scheduler.config, prediction_type=prediction, timestep_spacing="trailing"
    )
    pipe.save_pretrained(tmp_path)
    turbo = TurboSampler(str(tmp_path), size=size)
    assert turbo.is_direct
    latents = turbo.latents(["dog"], [seeded_generator(0, 0, 0)])
    assert latents.shape == (1, 4, size // 4, size // 4)
    assert (latents - call_pipeline(pipe, "dog", size)).abs().max() < 1e-4


def test_latents_leaves_other_schedulers_to_the_pipeline(random_turbo, tmp_path):
    pipe = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.save_pretrained(tmp_path)
    turbo = TurboSampler(str(tmp_path))
    assert not turbo.is_direct
    latents = turbo.latents(["dog", "cat"], [seeded_generator(0, 0, 0), seeded_generator(0, 0, 1)])
    assert (latents[:1] - call_pipeline(pipe, "dog", 32)).abs().max() < 1e-4


@pytest.mark.parametrize("kind", [EulerAncestralDiscreteScheduler, LCMScheduler])
def test_several_steps_are_those_of_the_pipeline(random_turbo, tmp_path, kind):
    """These schedulers add noise between two steps, for each image from its own generator."""
    pipe = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    pipe.scheduler = kind.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.save_pretrained(tmp_path)
    turbo = TurboSampler(str(tmp_path), steps=3)
    assert not turbo.is_direct
    latents = turbo.latents(["dog", "cat"], [seeded_generator(0, 0, 0), seeded_generator(0, 0, 1)])
    source = seeded_generator(0, 0, 1)
    noise = torch.randn(1, 4, 8, 8, generator=source)
    settings = {"num_inference_steps": 3, "guidance_scale": 0.0, "output_type": "latent"}
    pipe.set_progress_bar_config(disable=True)
    expected = pipe("cat", latents=noise, generator=source, **settings).images
    assert (latents[1:] - expected).abs().max() < 1e-3 * expected.abs().max()


def test_latents_needs_encoded_prompts_after_the_encoders_are_freed(random_turbo):
    turbo = TurboSampler(str(random_turbo))
    turbo.encode(["cat"])
    before = turbo.latents(["cat"], [seeded_generator(0, 0, 0)])
    turbo.free_encoders()
    assert turbo.pipe.text_encoder is None
    assert torch.equal(turbo.latents(["cat"], [seeded_generator(0, 0, 0)]), before)
    with pytest.raises(RuntimeError, match="dog was not encoded before the encoders were freed"):
        turbo.latents(["dog"], [seeded_generator(0, 0, 0)])


def test_sampler_refuses_a_size_that_the_unet_does_not_support(random_turbo):
    with pytest.raises(
        UserError,
        match="size 36: the image size of model random-turbo must be a multiple of 8 pixels",
    ):
        TurboSampler(str(random_turbo), size=36)


def test_float16_model_decodes_with_another_dtype(random_turbo, tmp_path):
    """SDXL's decoder overflows in float16 (force_upcast), so it is cast during loading."""
    copy = tmp_path / "upcast"
    shutil.copytree(random_turbo, copy)
    config = copy / "vae" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "force_upcast": True}))
    turbo = TurboSampler(str(copy), dtype=torch.float16)
    assert (turbo.pipe.unet.dtype, turbo.pipe.vae.dtype) == (torch.float16, torch.float32)
    half = turbo.sample(["cat"], [seeded_generator(0, 0, 0)])
    exact = TurboSampler(str(copy)).sample(["cat"], [seeded_generator(0, 0, 0)])
    assert (half.short() - exact.short()).abs().max() <= 8
    assert TurboSampler(str(random_turbo), dtype=torch.bfloat16).pipe.vae.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [EulerAncestralDiscreteScheduler, LCMScheduler, DDIMScheduler])
def test_float16_computes_nearly_the_same_latents(random_turbo, tmp_path, kind):
    """On a GPU, half precision is the default. The CPU can compute in it too.

    The paths are the direct step of two schedulers, and a call of the pipeline.
    """
    pipe = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    pipe.scheduler = kind.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.save_pretrained(tmp_path)
    latents = []
    for dtype in (torch.float32, torch.float16):
        turbo = TurboSampler(str(tmp_path), dtype=dtype)
        assert turbo.network.dtype == dtype
        latents.append(turbo.latents(["dog"], [seeded_generator(0, 0, 0)]))
        if turbo.is_direct:
            noise, step = turbo.differentiable(["dog"], [seeded_generator(0, 0, 0)])
            noise.requires_grad_()
            step(noise, 0, 1).square().mean().backward()
            assert noise.grad.isfinite().all()
    assert latents[1].dtype == torch.float32
    assert (latents[0] - latents[1]).abs().max() < 0.05 * latents[0].abs().max()
