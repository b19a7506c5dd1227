"""Tests of batches when memory runs out, and of compiling."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from sampling import make_task, run_method

from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.types import UserError
from gdd_plugin.generator import ImageGenerator
from gdd_plugin.models.compilation import compile_blocks
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.settings import parse_settings


@pytest.fixture
def little_memory(monkeypatch):
    """Simulate a GPU with memory for 5 images; larger batches raise the error that CUDA raises."""
    latents, seen = TurboSampler.latents, []

    def small(self, prompts, generators):
        seen.append(len(prompts))
        if len(prompts) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", small)
    return seen


def test_out_of_memory_halves_the_batch_and_loses_no_images(little_memory):
    metadata = {}
    batches = run_method(make_task(pda="none", ipc=4, batch=20, metadata=metadata))
    labels = np.concatenate([labels for _, labels, _ in batches])
    assert labels.tolist() == list(range(10)) * 4
    assert metadata["batch"] == 5
    assert little_memory[-1] <= 5
    expected = np.concatenate(
        [images for images, _, _ in run_method(make_task(pda="none", ipc=4, batch=5))]
    ).astype(int)
    images = np.concatenate([images for images, _, _ in batches]).astype(int)
    assert np.abs(images - expected).max() <= 1


def test_out_of_memory_abandons_the_compiled_unet(monkeypatch):
    """Smaller batches must not be padded to the size that the UNet was compiled for.

    The compiler is fake, and so is memory that runs out once two workers are busy.
    """
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda self, **settings: setattr(self, "_compiled_call_impl", self.forward),
    )
    latents, seen = TurboSampler.latents, []

    def small(self, prompts, generators):
        padded = max(len(prompts), self.pad_to)
        seen.append(padded)
        if padded > 5 and len(seen) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", small)
    metadata = {}
    batches = run_method(make_task(pda="none", ipc=4, batch=20, compile="yes", metadata=metadata))
    assert sorted(np.concatenate([labels for _, labels, _ in batches]).tolist()) == sorted(
        list(range(10)) * 4
    )
    assert seen[0] == 20
    assert seen[-1] <= 5
    assert (metadata["batch"], metadata["compile"]) == (5, "abandoned: not enough memory")


def test_not_enough_memory_for_one_image_is_reported(monkeypatch):
    def full(self, prompts, generators):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TurboSampler, "latents", full)
    with pytest.raises(
        UserError,
        match=r"not enough memory for one image of 32 pixels; choose .* with --option size=",
    ):
        run_method(make_task(pda="none", ipc=1))


def test_other_errors_are_not_mistaken_for_out_of_memory(monkeypatch):
    def broken(self, prompts, generators):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(TurboSampler, "latents", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run_method(make_task(pda="none", ipc=1))


def test_compile_pads_batches_and_keeps_the_images(monkeypatch):
    """Use a fake compiler that records the sizes of batches, because the real one is slow."""
    sizes = []

    def fake_compile(self, **settings):
        forward = self.forward

        def recording(sample, *arguments, **named):
            sizes.append(len(sample))
            return forward(sample, *arguments, **named)

        self._compiled_call_impl = recording

    monkeypatch.setattr(torch.nn.Module, "compile", fake_compile)
    metadata = {}
    compiled = run_method(make_task(pda="none", ipc=3, batch=8, compile="yes", metadata=metadata))
    assert metadata["compile"] == "yes"
    assert metadata["compile_seconds"] >= 0
    assert set(sizes) == {8}
    assert sum(len(labels) for _, labels, _ in compiled) == 30
    plain = run_method(make_task(pda="none", ipc=3, batch=8))
    pairs = zip(compiled, plain, strict=True)
    assert all(np.abs(one[0].astype(int) - other[0].astype(int)).max() <= 1 for one, other in pairs)


def test_failed_compilation_only_costs_time(monkeypatch):
    """Simulate a machine without a compiler, which raises at the first call."""

    def fake_compile(self, **settings):
        def raising(*arguments, **named):
            raise RuntimeError("no C++ compiler\nwas found")

        self._compiled_call_impl = raising

    monkeypatch.setattr(torch.nn.Module, "compile", fake_compile)
    metadata = {}
    batches = run_method(make_task(pda="none", ipc=1, compile="yes", metadata=metadata))
    assert metadata["compile"] == "failed: no C++ compiler was found"
    assert sum(len(labels) for _, labels, _ in batches) == 10


@pytest.mark.parametrize(
    ("device", "images", "seconds", "compiles"),
    [
        ("cuda", None, 600, True),
        ("cuda", 20_000, 600, True),
        ("cuda", 1_000, 600, False),
        ("cuda", None, 80, False),
        ("cpu", None, 600, False),
    ],
)
def test_auto_compiles_where_it_pays(device, images, seconds, compiles):
    """Ten minutes on a GPU are enough. Only the choice is tested, not the compiler."""
    made = ImageGenerator(*_task_and_settings(), images)
    made.task = replace(made.task, device=device)
    assert made.pays_to_compile(Budget(seconds, time.monotonic() + seconds + 0.5)) == compiles


def _task_and_settings():
    task = make_task(pda="none", ipc=1)
    return task, parse_settings(task.options, task.dataset.name)


def test_only_repeated_blocks_are_compiled(mini, monkeypatch):
    """They compile in a tenth of the time of the whole UNet, and once for all blocks."""
    compiled = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **settings: compiled.append(type(self).__name__)
    )
    assert compile_blocks(mini.network, lambda: None) == ""
    assert compiled
    assert set(compiled) == {"BasicTransformerBlock"}


def test_auto_does_not_compile_on_a_cpu():
    metadata = {}
    run_method(make_task(pda="none", ipc=1, metadata=metadata), seconds=10_000)
    assert metadata["compile"] == "no"


KEYS = [(label, 0) for label in range(4)]


def make_half_generator(random_turbo):
    """Return a generator that computes in float16, as on a GPU."""
    task = make_task(CIFAR10, model=str(random_turbo), pda="none", dtype="float16")
    made = ImageGenerator(task, parse_settings(task.options, "cifar10"), 20)
    made.sampler.pipe.vae.half()
    return made


@pytest.mark.parametrize(
    ("part", "layer"), [("UNet", "unet.conv_out"), ("decoder", "vae.decoder.conv_out")]
)
def test_what_overflows_in_half_precision_is_computed_in_float32(random_turbo, part, layer):
    made = make_half_generator(random_turbo)
    usual = made.generate(KEYS)[0]
    assert not made.in_float32
    # The largest value of float16 is 65,504.
    _layer(made, layer).weight.data.fill_(6e4)
    images = made.generate(KEYS)[0]
    assert part in made.in_float32
    assert images.shape == usual.shape


@pytest.mark.parametrize(
    ("part", "layer"), [("UNet", "unet.conv_out"), ("decoder", "vae.decoder.conv_out")]
)
def test_values_that_are_not_finite_are_an_error_that_names_the_part(random_turbo, part, layer):
    made = make_half_generator(random_turbo)
    _layer(made, layer).weight.data.fill_(torch.nan)
    with pytest.raises(UserError, match=f"^the {part} of model random-turbo computes values"):
        made.generate(KEYS)


def _layer(made, name):
    part, _, layer = name.partition(".")
    return getattr(made.sampler.pipe, part).get_submodule(layer)
