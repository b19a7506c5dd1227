"""Tests of the Hub's cache and of downloads. There is no Hub here, so its answers are made up."""

import re
import shlex
import socket
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoPipelineForText2Image, UNet2DConditionModel
from hub_cache import put_into_cache
from project import ROOT
from safetensors.torch import save_file

from benchmark_adapters.types import UserError
from gdd_plugin.models import hub, loading
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.models.registry import KNOWN, HubFile
from gdd_plugin.seeds import seeded_generator

COMPONENTS = [
    "scheduler",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "unet",
    "vae",
]


def test_a_download_has_half_precision_weights_and_nothing_else_of_a_repository():
    """The listing has the kinds of files that stabilityai/stable-diffusion-xl-base-1.0 has."""
    needed = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "text_encoder_2/config.json",
        "text_encoder_2/model.fp16.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "tokenizer_2/merges.txt",
        "tokenizer_2/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    others = [
        "README.md",
        "sd_xl_base_1.0.safetensors",
        "text_encoder/flax_model.msgpack",
        "text_encoder/model.onnx",
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/openvino_model.xml",
        "vae/diffusion_pytorch_model.safetensors",
        "vae_1_0/config.json",
        "vae_1_0/diffusion_pytorch_model.fp16.safetensors",
        "vae_decoder/config.json",
        "older/vae/config.json",
    ]
    files = sorted(needed + others)
    assert sorted(hub.wanted_files(files, COMPONENTS)) == needed
    without = [name for name in needed if name != "unet/diffusion_pytorch_model.fp16.safetensors"]
    assert sorted(hub.wanted_files(files, COMPONENTS, ["unet"])) == without
    whole = hub.wanted_files([name for name in files if ".fp16." not in name], COMPONENTS)
    assert "unet/diffusion_pytorch_model.safetensors" in whole
    assert "unet/diffusion_pytorch_model.non_ema.safetensors" not in whole


@pytest.fixture
def base(random_turbo, tmp_path):
    """Return a folder with a pipeline in half precision, like SDXL's base model on the Hub."""
    pipe = AutoPipelineForText2Image.from_pretrained(random_turbo, dtype=torch.float16)
    pipe.save_pretrained(tmp_path / "base", variant="fp16")
    (tmp_path / "base" / "sd_xl_base_1.0.safetensors").write_bytes(b"not needed")
    return tmp_path / "base"


def fake_hub(monkeypatch, folder):
    """Let the Hub's client find one repository, and return the list of the files it downloads."""
    downloaded = []

    def model_info(self, repository, timeout):
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])

    def snapshot_download(repository, allow_patterns, etag_timeout):
        downloaded.extend(allow_patterns)
        return folder

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda repository, name, etag_timeout: folder / name
    )
    return downloaded


@pytest.mark.parametrize("name", ["sdxl-lightning", "hyper-sd"])
def test_models_with_their_own_unet_load_from_what_a_download_brings(
    base, hub_cache, tmp_path, monkeypatch, name
):
    with monkeypatch.context() as patch:
        downloaded = fake_hub(patch, base)
        hub.find_pipeline(KNOWN[name].pipeline, ["unet"])
    for path in [path for path in base.rglob("*") if path.is_file()]:
        if str(path.relative_to(base)) not in downloaded:
            path.unlink()
    assert not list((base / "unet").glob("*.safetensors"))
    put_into_cache(hub_cache, KNOWN[name].pipeline, base)
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(base / "unet"))
    weights = tmp_path / "weights"
    weights.mkdir()
    save_file(unet.state_dict(), weights / KNOWN[name].unet.name)
    put_into_cache(hub_cache, KNOWN[name].unet.repository, weights)
    # A folder of the same name, where the command runs, is something else.
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    turbo = TurboSampler(name)
    assert turbo.sample(["cat"], [seeded_generator(0, 0, 0)]).shape == (1, 3, 32, 32)
    first = turbo.metadata.model_sha256
    # The weights that replace the UNet's are part of the model's hash.
    located = loading.locate(name)
    other = tmp_path / "other.safetensors"
    save_file({key: value + 1 for key, value in unet.state_dict().items()}, other)
    assert replace(located, unet=other).weights_sha256 != first


@pytest.mark.parametrize(
    "missing", ["unet/config.json", "vae/diffusion_pytorch_model.fp16.safetensors", "tokenizer"]
)
def test_an_incomplete_cache_is_completed_by_a_download(base, hub_cache, monkeypatch, missing):
    put_into_cache(hub_cache, "someone/turbo", base)
    (snapshot,) = (hub_cache / "models--someone--turbo" / "snapshots").iterdir()
    gone = snapshot / missing
    for path in [gone] if gone.is_symlink() else list(gone.iterdir()):
        path.unlink()
    downloaded = fake_hub(monkeypatch, base)
    assert hub.find_pipeline("someone/turbo") == base
    assert [name for name in downloaded if name.startswith(missing)]


@pytest.fixture
def silent_hub(monkeypatch):
    """Let the Hub accept connections and say nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=lambda: [server.accept() for _ in range(9)], daemon=True).start()
    monkeypatch.setattr(
        "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}"
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield
    server.close()


def test_a_cached_model_is_found_though_the_hub_is_silent(base, hub_cache, silent_hub):
    put_into_cache(hub_cache, "someone/turbo", base)
    start = time.monotonic()
    loading.locate("someone/turbo")
    assert time.monotonic() - start < 5


def test_a_missing_model_is_reported_soon_though_the_hub_is_silent(
    hub_cache, silent_hub, monkeypatch
):
    monkeypatch.setattr(hub, "TIMEOUT", 0.5)
    # Count the pauses between attempts instead of making them.
    pauses = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", pauses.append)
    start = time.monotonic()
    with pytest.raises(UserError, match="could not download someone/turbo from"):
        loading.locate("someone/turbo")
    with pytest.raises(UserError, match=r"run `hf download someone/unet weights.safetensors`"):
        hub.find_file(HubFile("someone/unet", "weights.safetensors"))
    assert time.monotonic() - start + sum(pauses) < 60


def commands():
    """Return the `hf` commands of the README, the docs and the error messages."""
    texts = [path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]]
    found = [
        command.replace("\\\n", " ")
        for text in texts
        for command in re.findall(r"^hf (?:.*\\\n)*.*$", text, re.M)
    ]
    error = hub._download_error("a/b", 'a/b --include "*.json"', ValueError())
    return found + re.findall(r"`(hf [^`]*)`", str(error))


@pytest.mark.parametrize("command", commands())
def test_download_commands_are_understood_by_the_client(command, monkeypatch):
    """Every filter has to arrive as a filter, and not as the name of a file."""
    from huggingface_hub.cli import download
    from huggingface_hub.cli.hf import app

    calls = []

    def snapshot_download(*args, **options):
        calls.append(options)
        return "folder"

    monkeypatch.setattr(download, "snapshot_download", snapshot_download)
    arguments = shlex.split(command)[1:]
    app(arguments, standalone_mode=False)
    (call,) = calls
    assert call["allow_patterns"] == [
        arguments[index + 1] for index, text in enumerate(arguments) if text == "--include"
    ]
