"""Tests of finding and loading models, from folders and from the Hub."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoPipelineForText2Image,
    EulerAncestralDiscreteScheduler,
    StableDiffusionXLPipeline,
)
from hub_cache import put_into_cache
from safetensors.torch import save_file

from benchmark_adapters.types import UserError
from gdd_plugin.models import loading
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator


def test_load_changes_the_scheduler_to_trailing_spacing(random_turbo, tmp_path):
    copy = tmp_path / "leading"
    shutil.copytree(random_turbo, copy)
    config = copy / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "timestep_spacing": "leading"}))
    pipe = loading.load(loading.locate(str(copy)), "cpu")
    pipe.scheduler.set_timesteps(1)
    assert isinstance(pipe.scheduler, EulerAncestralDiscreteScheduler)
    assert pipe.scheduler.timesteps.tolist() == [999]
    assert pipe.scheduler.sigmas[0] == pytest.approx(14.6146, abs=1e-3)


def test_load_reads_folders_with_only_the_fp16_variant(random_turbo, tmp_path):
    """SDXL-Turbo is published with fp16 files. On a CPU, they are converted to float32."""
    pipe = AutoPipelineForText2Image.from_pretrained(random_turbo, dtype=torch.float16)
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    assert list((tmp_path / "half" / "unet").glob("*.fp16.safetensors"))
    turbo = TurboSampler(str(tmp_path / "half"))
    assert turbo.pipe.unet.dtype == torch.float32
    assert turbo.sample(["cat"], [seeded_generator(0, 0, 0)]).shape == (1, 3, 32, 32)


def test_run_finds_a_hub_id_in_the_hub_cache_without_network_access(
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
        "--option",
        "preset=sampled",
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


def test_locate_refuses_a_folder_without_a_model(tmp_path):
    with pytest.raises(UserError, match=r"is not a model folder: it has no model_index.json"):
        TurboSampler(str(tmp_path))


@pytest.mark.parametrize("model", ["/not/there", "./missing", "turbo-maxi", "a b/c", "a/b/c"])
def test_locate_refuses_a_missing_folder(model):
    with pytest.raises(
        UserError,
        match=f"no model folder {model}; use a folder, a file FILE.safetensors, a Hugging",
    ):
        TurboSampler(model)


def test_locate_explains_how_to_download_if_the_hub_is_unreachable(tmp_path, monkeypatch):
    """Make the Hub unreachable with an empty cache and a closed port."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        UserError,
        match=r"could not download stabilityai/sdxl-turbo from the Hugging Face Hub .*; "
        r"run `hf download stabilityai/sdxl-turbo --include .* --include \"\*.fp16.safetensors\"` "
        "with internet access, or use a folder",
    ) as caught:
        TurboSampler("stabilityai/sdxl-turbo")
    assert "\n" not in str(caught.value)


def test_load_reports_damaged_weights_in_one_line(random_turbo, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(random_turbo, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="could not load the model damaged from ") as caught:
        TurboSampler(str(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_locate_refuses_a_damaged_index(tmp_path, text):
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises(UserError, match="does not name a pipeline class"):
        TurboSampler(str(tmp_path))


def test_locate_refuses_unsupported_pipeline_classes(random_turbo, tmp_path):
    copy = tmp_path / "other"
    shutil.copytree(random_turbo, copy)
    index = copy / "model_index.json"
    entries = json.loads(index.read_text())
    index.write_text(json.dumps({**entries, "_class_name": "FluxPipeline"}))
    with pytest.raises(
        UserError, match="is a FluxPipeline; this needs a StableDiffusionXLPipeline"
    ):
        TurboSampler(str(copy))
    index.write_text(json.dumps({**entries, "_class_name": "AudioLDM2Pipeline"}))
    with pytest.raises(UserError, match="AudioLDM2Pipeline, which makes no images from prompts"):
        TurboSampler(str(copy))


def test_weights_sha256_covers_every_weight_and_trusts_blob_names(random_turbo, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(random_turbo, copy)
    before = loading.locate(str(copy)).weights_sha256
    assert before == loading.locate(str(random_turbo)).weights_sha256
    (copy / "a_whole_checkpoint.safetensors").write_bytes(b"never loaded")
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    # The Hub cache names blobs after their SHA-256.
    blob = tmp_path / loading.file_sha256(weights)
    weights.rename(blob)
    weights.symlink_to(blob)
    assert loading.locate(str(copy)).weights_sha256 == before
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    assert loading.locate(str(copy)).weights_sha256 != before


def test_checkpoint_in_a_single_file_needs_only_texts_from_the_hub(
    random_turbo, hub_cache, tmp_path, monkeypatch
):
    """The file and its conversion are faked: no tiny checkpoint of that kind exists."""
    texts = tmp_path / "texts"
    shutil.copytree(random_turbo, texts, ignore=shutil.ignore_patterns("*.safetensors"))
    repository = "stabilityai/stable-diffusion-xl-base-1.0"
    put_into_cache(hub_cache, repository, texts)
    file = tmp_path / "mine.safetensors"
    save_file({loading.CHECKPOINT_KEY: torch.zeros(3)}, file)
    config = {"pretrained_model_name_or_path": repository}
    monkeypatch.setattr(loading, "fetch_diffusers_config", lambda weights: config)
    asked = {}

    def convert(path, config, **options):
        asked.update(options, path=path, index=Path(config) / "model_index.json")
        return StableDiffusionXLPipeline.from_pretrained(random_turbo)

    monkeypatch.setattr(StableDiffusionXLPipeline, "from_single_file", convert)
    turbo = TurboSampler(str(file))
    assert (asked["path"], asked["local_files_only"]) == (file, True)
    assert asked["index"].is_file()
    assert turbo.metadata.model == "mine.safetensors"
    assert turbo.metadata.model_sha256 == loading.file_sha256(file)
    assert turbo.sample(["cat"], [seeded_generator(0, 0, 0)]).shape == (1, 3, 32, 32)


def test_damaged_checkpoint_is_one_clear_line(tmp_path):
    file = tmp_path / "mine.safetensors"
    with pytest.raises(UserError, match=r"^could not read the checkpoint .*mine\.safetensors: "):
        TurboSampler(str(file))
    file.write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"^could not read the checkpoint .*mine\.safetensors: "):
        TurboSampler(str(file))
    save_file({"adapter": torch.zeros(3)}, file)
    with pytest.raises(UserError, match="is not a whole checkpoint of Stable Diffusion"):
        TurboSampler(str(file))
