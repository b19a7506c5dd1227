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
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from diffusers import (
    LCMScheduler,
    StableDiffusionXLPipeline,
)
from peft import LoraConfig
from small_training import SHORT, lora_settings

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.types import UserError
from gdd_plugin.gpu_check import shapes
from gdd_plugin.models import turbo_mini
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.training import train_lora as train_lora_module
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


@pytest.mark.parametrize("precision", [None, "bf16"])
def test_frozen_weights_take_half_the_memory_in_mixed_precision(
    trained_model, few, tmp_path, monkeypatch, precision
):
    """The teacher has no decoder, and shares the text encoders if they are equal."""
    if precision:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    # The precision is read once in a process.
    AcceleratorState._reset_state(reset_partial_state=True)
    loaded = {}

    def keep(generator, supervision, *others):
        loaded.update(student=generator.denoiser, teacher=supervision.teacher)
        loaded.update(latents=generator(torch.randn(1, *generator.shape), tokens(supervision))[0])

    def tokens(supervision):
        return supervision.prompts.tokens(["a bag"])

    monkeypatch.setattr(train_lora_module, "train_student", keep)
    student = replace(SHORT, distillation=1.0)
    settings = replace(lora_settings(trained_model), teacher=str(trained_model), student=student)
    train_lora(tmp_path / "adapter", FASHION_MNIST, few, settings)
    AcceleratorState._reset_state(reset_partial_state=True)
    expected = torch.bfloat16 if precision else torch.float32
    for denoiser in (loaded["student"], loaded["teacher"]):
        frozen = [weights for weights in denoiser.parameters() if not weights.requires_grad]
        wide = denoiser.unet.conv_out.parameters() if denoiser is loaded["student"] else []
        others = [weights for weights in frozen if all(weights is not one for one in wide)]
        assert {weights.dtype for weights in others} <= {expected, torch.float32}
        assert denoiser.unet.conv_in.weight.dtype == expected
    trained = [weights for weights in loaded["student"].parameters() if weights.requires_grad]
    assert {weights.dtype for weights in trained} == {torch.float32}
    assert loaded["student"].unet.conv_out.weight.dtype == torch.float32
    assert loaded["latents"].dtype == torch.float32
    for name in ("text_encoder", "text_encoder_2"):
        assert getattr(loaded["teacher"], name) is getattr(loaded["student"], name)


def test_last_layer_in_float32_keeps_the_step_exact(trained_model):
    """The step of models that predict the noise multiplies rounding errors of that layer."""
    pipe = TurboSampler(str(trained_model)).pipe
    inputs = torch.randn(2, pipe.unet.conv_out.in_channels, 8, 8)
    pipe.unet.to(torch.bfloat16)
    layer = pipe.unet.conv_out
    # The layer rounds neither these inputs and weights nor what it computes of them.
    weights = layer.weight.detach().float(), layer.bias.detach().float()
    exact = F.conv2d(inputs.bfloat16().float(), *weights, padding=layer.padding)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = pipe.unet.conv_out(inputs.bfloat16()).float()
    train_lora_module._compute_in_float32(pipe.unet.conv_out)
    with torch.autocast("cpu", torch.bfloat16):
        output = pipe.unet.conv_out(inputs.bfloat16())
    assert output.dtype == torch.float32
    assert (output - exact).abs().max() < 0.01 * (rounded - exact).abs().max()


def test_weights_of_sdxl_fit_a_gpu_of_40_gb():
    """Counted on networks without memory: the model, its adapter, and the teacher's UNet."""
    with torch.device("meta"):
        networks = [torch.nn.Module.half(shapes.unet()) for _ in range(2)]
        config = LoraConfig(r=16, target_modules=list(train_lora_module.ATTENTION))
        networks[0].add_adapter(config)
        train_lora_module.cast_training_params(networks[0], torch.float32)
        networks.append(torch.nn.Module.half(shapes.autoencoder()))
    size = sum(
        weights.numel() * weights.element_size()
        for network in networks
        for weights in network.parameters()
    )
    assert size < 11e9
