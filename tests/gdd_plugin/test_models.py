"""Models: folders of SDXL-Turbo's layout, the hub's cache, names that are known, and what is none of these."""

import json
import shutil

import pytest
import torch
from diffusers import (
    AutoPipelineForText2Image,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextModel

from benchmark_adapters.types import UserError
from gdd_plugin import architecture, models
from gdd_plugin.sampler import TurboSampler, generator


def put_into_cache(cache, repository, source):
    """The layout that `hf download` leaves: blobs named by their hash, a snapshot of links, a ref."""
    repo = cache / f"models--{repository.replace('/', '--')}"
    snapshot = repo / "snapshots" / ("a" * 40)
    for file in (path for path in source.rglob("*") if path.is_file()):
        blob = repo / "blobs" / models._file_sha256(file)
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link = snapshot / file.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


# Folders


def test_schedulers_with_other_spacing_become_trailing(random_turbo, tmp_path):
    copy = tmp_path / "leading"
    shutil.copytree(random_turbo, copy)
    config = copy / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "timestep_spacing": "leading"}))
    pipe = models.load(models.locate(str(copy)), "cpu")
    pipe.scheduler.set_timesteps(1)
    assert isinstance(pipe.scheduler, EulerAncestralDiscreteScheduler)
    assert pipe.scheduler.timesteps.tolist() == [999]
    assert pipe.scheduler.sigmas[0] == pytest.approx(14.6146, abs=1e-3)


def test_folders_that_hold_only_the_fp16_variant(random_turbo, tmp_path):
    """SDXL-Turbo is published with fp16 files; on a CPU they are computed with in float32."""
    pipe = AutoPipelineForText2Image.from_pretrained(random_turbo, dtype=torch.float16)
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    assert list((tmp_path / "half" / "unet").glob("*.fp16.safetensors"))
    turbo = TurboSampler(str(tmp_path / "half"))
    assert turbo.pipe.unet.dtype == torch.float32
    assert turbo.sample(["cat"], [generator(0, 0, 0)]).shape == (1, 3, 32, 32)


def test_a_hub_id_is_found_in_the_hubs_cache_without_network(
    random_turbo, cache, tmp_path, ddbench, methods_here
):
    AutoPipelineForText2Image.from_pretrained(random_turbo, dtype=torch.float16).save_pretrained(
        tmp_path / "half", variant="fp16"
    )
    put_into_cache(cache, "someone/random-turbo", tmp_path / "half")
    arguments = [
        "run",
        "--method",
        "generative-turbo",
        "--option",
        "model=someone/random-turbo",
        "--repeats",
        "0",
        "--json",
    ]
    done = ddbench(*arguments)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["model"] == "someone/random-turbo"
    assert record["model_sha256"] == models.locate(str(tmp_path / "half")).weights_sha256
    assert record["model_trained_on"] == "not stated by the model"


# Known names


def test_sd_turbo_by_name(random_turbo, cache, tmp_path):
    """SD-Turbo's layout: one text encoder, no further conditions, epsilon prediction."""
    torch.manual_seed(0)
    xl = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    unet = UNet2DConditionModel.from_config(
        {
            **xl.unet.config,
            "cross_attention_dim": architecture.TEXT_WIDTH,
            "addition_embed_type": None,
            "projection_class_embeddings_input_dim": None,
        }
    )
    encoder = CLIPTextModel(architecture.text_config(xl.tokenizer))
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
    put_into_cache(cache, "stabilityai/sd-turbo", tmp_path / "sd")
    turbo = TurboSampler("sd-turbo")
    made = turbo.latents(["cat", "dog"], [generator(0, 0, 0), generator(0, 1, 0)])
    assert turbo.is_direct
    assert turbo.facts["model"] == "sd-turbo"
    assert "non-commercial" in turbo.facts["model_licence"]
    assert (made[:1] - by_the_card(pipe, "cat", num_inference_steps=1)).abs().max() < 1e-4


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
    ],
)
def test_unets_for_sdxl_by_name(
    random_turbo, cache, tmp_path, name, repository, file, scheduler, settings, steps
):
    """SDXL's layout with its own scheduler, and a repository that holds a UNet's weights alone."""
    torch.manual_seed(1)
    base = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    base.scheduler = EulerDiscreteScheduler.from_config(
        base.scheduler.config, timestep_spacing="leading", prediction_type="epsilon"
    )
    base.save_pretrained(tmp_path / "base")
    put_into_cache(cache, "stabilityai/stable-diffusion-xl-base-1.0", tmp_path / "base")
    base.unet = architecture.unet().eval()
    (tmp_path / "unet").mkdir()
    save_file(base.unet.state_dict(), tmp_path / "unet" / file)
    put_into_cache(cache, repository, tmp_path / "unet")
    turbo = TurboSampler(name)
    made = turbo.latents(["cat"], [generator(0, 0, 0)])
    base.scheduler = scheduler.from_config(base.scheduler.config, **settings)
    assert turbo.is_direct == (name == "sdxl-lightning")
    assert (made - by_the_card(base, "cat", **steps)).abs().max() < 1e-4
    assert "CreativeML Open RAIL++-M" in turbo.facts["model_licence"]
    assert turbo.facts["model_sha256"] not in (
        models.locate(str(tmp_path / "base")).weights_sha256,
        models.locate(str(random_turbo)).weights_sha256,
    )


def by_the_card(pipe, prompt, **steps):
    """The latents of an ordinary call."""
    pipe.set_progress_bar_config(disable=True)
    size = pipe.unet.config.sample_size
    noise = torch.randn(1, 4, size, size, generator=generator(0, 0, 0))
    return pipe(
        prompt,
        latents=noise,
        guidance_scale=0.0,
        output_type="latent",
        **{"num_inference_steps": 1, **steps},
    ).images


def test_every_known_name_says_how_to_get_it(cache):
    for name, known in models.KNOWN.items():
        with pytest.raises(UserError, match=f"run `hf download {known.pipeline}"):
            models.locate(name)


# What is no model


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"is no model folder: it has no model_index.json"):
        TurboSampler(str(tmp_path))


@pytest.mark.parametrize("model", ["/not/there", "./missing", "turbo-maxi", "a b/c", "a/b/c"])
def test_a_folder_that_is_not_there(model):
    with pytest.raises(
        UserError, match=f"no model folder {model}; give a folder, a hub id such as"
    ):
        TurboSampler(model)


def test_a_hub_that_cannot_be_reached(tmp_path, monkeypatch):
    """No hub is reachable where tests run; an empty cache and a closed port make sure of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        UserError,
        match=r"run `hf download stabilityai/sdxl-turbo` where there is a network, or give a folder",
    ) as caught:
        TurboSampler("stabilityai/sdxl-turbo")
    assert "\n" not in str(caught.value)


def test_damaged_folders_are_one_line(random_turbo, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(random_turbo, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="can't be loaded") as caught:
        TurboSampler(str(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_index_is_one_line(tmp_path, text):
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises(UserError, match="names no pipeline class"):
        TurboSampler(str(tmp_path))


def test_a_damaged_story_is_one_line(random_turbo, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(random_turbo, copy)
    (copy / "training.json").write_text("{")
    with pytest.raises(UserError, match=r"training.json is damaged"):
        TurboSampler(str(copy))


def test_pipelines_of_another_kind(random_turbo, tmp_path):
    copy = tmp_path / "other"
    shutil.copytree(random_turbo, copy)
    index = copy / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "FluxPipeline"}))
    with pytest.raises(
        UserError,
        match="is a FluxPipeline; generative-turbo needs a StableDiffusionXLPipeline or a StableDiffusionPipeline",
    ):
        TurboSampler(str(copy))


def test_the_weights_hash_sees_every_weight_and_trusts_the_hubs_names(random_turbo, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(random_turbo, copy)
    before = models.locate(str(copy)).weights_sha256
    assert before == models.locate(str(random_turbo)).weights_sha256
    (copy / "a_whole_checkpoint.safetensors").write_bytes(b"never loaded")
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    blob = tmp_path / models._file_sha256(weights)  # the hub's cache names blobs by their sha256
    weights.rename(blob)
    weights.symlink_to(blob)
    assert models.locate(str(copy)).weights_sha256 == before
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    assert models.locate(str(copy)).weights_sha256 != before
