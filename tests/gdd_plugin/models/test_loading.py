"""Models in folders, by hub id, and what is none of these."""

import json
import shutil

import pytest
import torch
from diffusers import (
    AutoPipelineForText2Image,
    EulerAncestralDiscreteScheduler,
)
from hub_cache import put_into_cache

from benchmark_adapters.types import UserError
from gdd_plugin.models import loading
from gdd_plugin.models.one_step import TurboSampler, seeded_generator


def test_schedulers_with_other_spacing_become_trailing(random_turbo, tmp_path):
    copy = tmp_path / "leading"
    shutil.copytree(random_turbo, copy)
    config = copy / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "timestep_spacing": "leading"}))
    pipe = loading.load(loading.locate(str(copy)), "cpu")
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
    assert turbo.sample(["cat"], [seeded_generator(0, 0, 0)]).shape == (1, 3, 32, 32)


def test_a_hub_id_is_found_in_the_hubs_cache_without_network(
    random_turbo, hub_cache, tmp_path, ddbench, methods_here
):
    AutoPipelineForText2Image.from_pretrained(random_turbo, dtype=torch.float16).save_pretrained(
        tmp_path / "half", variant="fp16"
    )
    put_into_cache(hub_cache, "someone/random-turbo", tmp_path / "half")
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
    assert record["model_sha256"] == loading.locate(str(tmp_path / "half")).weights_sha256
    assert record["model_trained_on"] == "not stated by the model"


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
        match=r"run `hf download stabilityai/sdxl-turbo` where there is a network, or give a fold",
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


def test_pipelines_of_another_kind(random_turbo, tmp_path):
    copy = tmp_path / "other"
    shutil.copytree(random_turbo, copy)
    index = copy / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "FluxPipeline"}))
    with pytest.raises(
        UserError,
        match="is a FluxPipeline; generative-turbo needs a "
        "StableDiffusionXLPipeline or a StableDiffusionPipeline",
    ):
        TurboSampler(str(copy))


def test_the_weights_hash_sees_every_weight_and_trusts_the_hubs_names(random_turbo, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(random_turbo, copy)
    before = loading.locate(str(copy)).weights_sha256
    assert before == loading.locate(str(random_turbo)).weights_sha256
    (copy / "a_whole_checkpoint.safetensors").write_bytes(b"never loaded")
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    blob = tmp_path / loading.file_sha256(weights)  # the hub's cache names blobs by their sha256
    weights.rename(blob)
    weights.symlink_to(blob)
    assert loading.locate(str(copy)).weights_sha256 == before
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    assert loading.locate(str(copy)).weights_sha256 != before
