"""Tests of adapters: short training runs, loading with diffusers, and use in runs."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import small_training
import torch
from diffusers import (
    LCMScheduler,
    StableDiffusionXLPipeline,
)
from small_training import SHORT, lora_settings

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.types import UserError
from gdd_plugin.models import turbo_mini
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.training.settings import LoraSettings
from gdd_plugin.training.train_lora import train_lora

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def adapter(trained_model, few, tmp_path_factory):
    """Return the folder of an adapter for the trained model."""
    folder = tmp_path_factory.mktemp("adapters") / "clothes"
    train_lora(
        folder,
        FASHION_MNIST,
        few,
        replace(lora_settings(trained_model), student=replace(SHORT, lr=0.05)),
        save_every=2,
    )
    return folder


def test_adapter_is_loaded_by_diffusers_and_changes_the_images(adapter, trained_model):
    pipe = StableDiffusionXLPipeline.from_pretrained(trained_model, add_watermarker=False)
    noise = torch.randn(1, 4, 8, 8)
    call = {
        "prompt": "Bag",
        "latents": noise,
        "num_inference_steps": 1,
        "guidance_scale": 0.0,
        "output_type": "np",
    }
    plain = pipe(**call).images
    pipe.load_lora_weights(adapter)
    changed = pipe(**call).images
    assert np.abs(plain - changed).max() > 1e-3
    turbo = TurboSampler(str(trained_model), lora=str(adapter))
    np.testing.assert_allclose(turbo.pipe(**call).images, changed, atol=1e-4)
    assert turbo.metadata.model == "trained + clothes"
    assert turbo.metadata.model_trained_on.endswith(
        "; adapter: fashion-mnist train, without the last 20 images of each class"
    )
    assert len(turbo.metadata.lora_sha256) == 64


def test_run_accepts_an_adapter(adapter, trained_model, ddbench, methods_here):
    done = ddbench(
        "run",
        "--method",
        "generative-turbo",
        "--ipc",
        "2",
        "--repeats",
        "0",
        "--option",
        f"model={trained_model}",
        "--option",
        f"lora={adapter}",
        "--option",
        "preset=sampled",
        "--runs",
        "runs",
    )
    assert done.returncode == 0, done.stderr


def test_adapter_for_a_different_architecture_is_refused(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(turbo_mini, "TEXT_WIDTH", 16)
    turbo_mini.pipeline(["a bag"]).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"could not apply the adapter .* to this model"):
        TurboSampler(str(tmp_path), lora=str(adapter))


def test_distillation_without_a_teacher_and_zero_weights_are_refused(trained_model, few, tmp_path):
    with pytest.raises(UserError, match="the distillation loss needs a teacher"):
        train_lora(
            tmp_path,
            FASHION_MNIST,
            few,
            LoraSettings("fashion-mnist", str(trained_model), None, student=SHORT),
        )
    with pytest.raises(UserError, match="all losses of the student have weight 0"):
        replace(SHORT, matching=0, adversarial=0, distillation=0)


def test_a_model_that_is_sampled_with_another_step_is_refused(trained_model, few, tmp_path):
    """Hyper-SD, for example, is sampled by LCM's scheduler at timestep 800."""
    pipe = StableDiffusionXLPipeline.from_pretrained(trained_model)
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(tmp_path / "lcm")
    settings = LoraSettings(
        "fashion-mnist", str(tmp_path / "lcm"), str(trained_model), held_out=200, student=SHORT
    )
    with pytest.raises(UserError, match=r"lcm is not supported: .* is sampled with LCMScheduler"):
        train_lora(tmp_path / "adapter", FASHION_MNIST, few, settings)


def test_teacher_with_a_different_architecture_is_refused(
    trained_model, few, tmp_path, monkeypatch
):
    monkeypatch.setattr(turbo_mini, "TEXT_WIDTH", 16)
    turbo_mini.pipeline(["a bag"]).save_pretrained(tmp_path / "other")
    settings = LoraSettings(
        "fashion-mnist", str(trained_model), str(tmp_path / "other"), held_out=200, student=SHORT
    )
    with pytest.raises(
        UserError,
        match="has a different architecture from the model: cross_attention_dim is 32, not 64",
    ):
        train_lora(tmp_path / "adapter", FASHION_MNIST, few, settings)


@pytest.mark.slow
def test_adapt_works_in_two_processes_and_bfloat16(trained_model, few, tmp_path):
    """Start the processes on the CPU, as ``accelerate launch`` and torchrun start them."""
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        small_training.__file__,
    ]
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "ACCELERATE_MIXED_PRECISION": "bf16",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*launch, "adapt", few, tmp_path / "two", trained_model],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "two" / "training.json").read_text())["processes"] == 2
    assert TurboSampler(str(trained_model), lora=str(tmp_path / "two")).metadata.lora == "two"
