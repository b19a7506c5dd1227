"""Tests of models that are known by name."""

import pytest
import torch
from attack import Attack
from diffusers import (
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from hub_cache import put_into_cache
from safetensors.torch import save_file
from transformers import CLIPTextModel

from benchmark_adapters.types import UserError
from gdd_plugin.models import loading, registry, turbo_mini
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator


def test_sd_turbo_is_loaded_by_name(random_turbo, hub_cache, tmp_path):
    """SD-Turbo has one text encoder, no additional conditioning and epsilon prediction."""
    torch.manual_seed(0)
    xl = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    unet = UNet2DConditionModel.from_config(
        {
            **xl.unet.config,
            "cross_attention_dim": turbo_mini.TEXT_WIDTH,
            "addition_embed_type": None,
            "projection_class_embeddings_input_dim": None,
        }
    )
    encoder = CLIPTextModel(turbo_mini.text_config(xl.tokenizer))
    scheduler = EulerAncestralDiscreteScheduler.from_config(
        xl.scheduler.config, prediction_type="epsilon"
    )
    pipe = StableDiffusionPipeline(
        xl.vae,
        encoder,
        xl.tokenizer,
        unet,
        scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(tmp_path / "sd")
    put_into_cache(hub_cache, "stabilityai/sd-turbo", tmp_path / "sd")
    turbo = TurboSampler("sd-turbo")
    latents = turbo.latents(["cat", "dog"], [seeded_generator(0, 0, 0), seeded_generator(0, 1, 0)])
    assert turbo.is_direct
    assert turbo.metadata.model == "sd-turbo"
    assert "non-commercial" in turbo.metadata.model_licence
    assert (latents[:1] - call_pipeline(pipe, "cat", num_inference_steps=1)).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("name", "repository", "file", "scheduler", "settings", "steps"),
    [
        (
            "sdxl-lightning",
            "ByteDance/SDXL-Lightning",
            "sdxl_lightning_1step_unet_x0.safetensors",
            EulerDiscreteScheduler,
            {"timestep_spacing": "trailing", "prediction_type": "sample"},
            {"num_inference_steps": 1},
        ),
        (
            "hyper-sd",
            "ByteDance/Hyper-SD",
            "Hyper-SDXL-1step-Unet.safetensors",
            LCMScheduler,
            {},
            {"num_inference_steps": 1, "timesteps": [800]},
        ),
        (
            "dmd2",
            "tianweiy/DMD2",
            "dmd2_sdxl_1step_unet_fp16.bin",
            LCMScheduler,
            {},
            {"num_inference_steps": 1, "timesteps": [399]},
        ),
    ],
)
def test_unets_for_sdxl_are_loaded_by_name(
    random_turbo, hub_cache, tmp_path, name, repository, file, scheduler, settings, steps
):
    """These models consist of SDXL and a repository that contains only the weights of a UNet."""
    torch.manual_seed(1)
    base = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    base.scheduler = EulerDiscreteScheduler.from_config(
        base.scheduler.config, timestep_spacing="leading", prediction_type="epsilon"
    )
    base.save_pretrained(tmp_path / "base")
    put_into_cache(hub_cache, "stabilityai/stable-diffusion-xl-base-1.0", tmp_path / "base")
    base.unet = turbo_mini.unet().eval()
    (tmp_path / "unet").mkdir()
    save = save_file if file.endswith(".safetensors") else torch.save
    save(base.unet.state_dict(), tmp_path / "unet" / file)
    put_into_cache(hub_cache, repository, tmp_path / "unet")
    turbo = TurboSampler(name)
    latents = turbo.latents(["cat"], [seeded_generator(0, 0, 0)])
    base.scheduler = scheduler.from_config(base.scheduler.config, **settings)
    assert turbo.is_direct
    assert (latents - call_pipeline(base, "cat", **steps)).abs().max() < 1e-4
    assert "CreativeML Open RAIL++-M" in turbo.metadata.model_licence
    assert turbo.metadata.model_sha256 not in (
        loading.locate(str(tmp_path / "base")).weights_sha256,
        loading.locate(str(random_turbo)).weights_sha256,
    )


def test_models_of_one_step_refuse_more(random_turbo, hub_cache, tmp_path):
    put_into_cache(hub_cache, "stabilityai/stable-diffusion-xl-base-1.0", random_turbo)
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "dmd2_sdxl_1step_unet_fp16.bin").write_bytes(b"")
    put_into_cache(hub_cache, "tianweiy/DMD2", tmp_path / "unet")
    with pytest.raises(UserError, match="dmd2 makes images in one step only; leave out --option "):
        TurboSampler("dmd2", steps=2)


def test_pickled_weights_are_read_but_never_executed(random_turbo, hub_cache, tmp_path):
    put_into_cache(hub_cache, "stabilityai/stable-diffusion-xl-base-1.0", random_turbo)
    trace = tmp_path / "executed"
    (tmp_path / "unet").mkdir()
    torch.save(Attack(trace), tmp_path / "unet" / "dmd2_sdxl_1step_unet_fp16.bin")
    put_into_cache(hub_cache, "tianweiy/DMD2", tmp_path / "unet")
    with pytest.raises(
        UserError, match=r"could not load the model dmd2 from .*dmd2_sdxl_1step_unet_fp16\.bin"
    ):
        TurboSampler("dmd2")
    assert not trace.exists()


def call_pipeline(pipe, prompt, **steps):
    """Return the latents of an ordinary pipeline call."""
    pipe.set_progress_bar_config(disable=True)
    size = pipe.unet.config.sample_size
    noise = torch.randn(1, 4, size, size, generator=seeded_generator(0, 0, 0))
    return pipe(
        prompt,
        latents=noise,
        guidance_scale=0.0,
        output_type="latent",
        **{"num_inference_steps": 1, **steps},
    ).images


def test_every_known_model_explains_how_to_download_it(hub_cache):
    for name, known in registry.KNOWN.items():
        with pytest.raises(UserError, match=f"run `hf download {known.pipeline}"):
            loading.locate(name)
