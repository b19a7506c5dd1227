"""Batches when memory is short, and compiling."""

import numpy as np
import pytest
import torch
from sampling import make_task, run_method

from benchmark_adapters.types import UserError
from gdd_plugin.models.one_step import TurboSampler


@pytest.fixture
def little_memory(monkeypatch):
    """Make the model raise what CUDA raises for more than 5 images; no test can fill a GPU."""
    latents, seen = TurboSampler.latents, []

    def small(self, prompts, generators):
        seen.append(len(prompts))
        if len(prompts) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", small)
    return seen


def test_out_of_memory_halves_the_batch_and_loses_nothing(little_memory):
    metadata = {}
    made = run_method(make_task(pda="none", ipc=4, batch=20, metadata=metadata))
    labels = np.concatenate([labels for _, labels, _ in made])
    assert labels.tolist() == list(range(10)) * 4
    assert metadata["batch"] == 5
    assert little_memory[-1] <= 5
    expected = np.concatenate(
        [images for images, _, _ in run_method(make_task(pda="none", ipc=4, batch=5))]
    ).astype(int)
    assert (
        np.abs(np.concatenate([images for images, _, _ in made]).astype(int) - expected).max() <= 1
    )


def test_out_of_memory_gives_up_what_was_compiled_for_larger_batches(monkeypatch):
    """Fake a compiler, and memory that is full once two workers are busy.

    Smaller batches must not be filled up again.
    """
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda self, **settings: setattr(self, "_compiled_call_impl", self.forward),
    )
    latents, seen = TurboSampler.latents, []

    def small(self, prompts, generators):
        filled = max(len(prompts), self.pad_to)
        seen.append(filled)
        if filled > 5 and len(seen) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", small)
    metadata = {}
    made = run_method(make_task(pda="none", ipc=4, batch=20, compile="yes", metadata=metadata))
    assert sorted(np.concatenate([labels for _, labels, _ in made]).tolist()) == sorted(
        list(range(10)) * 4
    )
    assert seen[0] == 20
    assert seen[-1] <= 5
    assert (metadata["batch"], metadata["compile"]) == (5, "given up, memory was short")


def test_no_memory_for_one_image_is_one_line(monkeypatch):
    def full(self, prompts, generators):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TurboSampler, "latents", full)
    with pytest.raises(
        UserError,
        match=r"no memory for one image of 32 pixels; give a smaller one with --option size=",
    ):
        run_method(make_task(pda="none", ipc=1))


def test_other_errors_are_not_taken_for_it(monkeypatch):
    def broken(self, prompts, generators):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(TurboSampler, "latents", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run_method(make_task(pda="none", ipc=1))


def test_compiling_is_filled_up_and_changes_nothing(monkeypatch):
    """Fake a compiler that notes the shapes; the real one takes a minute and gains nothing."""
    shapes = []

    def compiled(self, **settings):
        forward = self.forward

        def listening(sample, *arguments, **named):
            shapes.append(tuple(sample.shape))
            return forward(sample, *arguments, **named)

        self._compiled_call_impl = listening

    monkeypatch.setattr(torch.nn.Module, "compile", compiled)
    metadata = {}
    made = run_method(make_task(pda="none", ipc=3, batch=8, compile="yes", metadata=metadata))
    assert metadata["compile"] == "yes"
    assert metadata["compile_seconds"] >= 0
    assert set(shapes) == {(8, 4, 8, 8)}
    assert sum(len(labels) for _, labels, _ in made) == 30
    plain = run_method(make_task(pda="none", ipc=3, batch=8))
    pairs = zip(made, plain, strict=True)
    assert all(np.abs(one[0].astype(int) - other[0].astype(int)).max() <= 1 for one, other in pairs)


def test_a_compiler_that_fails_costs_only_its_time(monkeypatch):
    """Fake a machine without a compiler, which raises at the first call."""

    def compiled(self, **settings):
        def raising(*arguments, **named):
            raise RuntimeError("no C++ compiler\nwas found")

        self._compiled_call_impl = raising

    monkeypatch.setattr(torch.nn.Module, "compile", compiled)
    metadata = {}
    made = run_method(make_task(pda="none", ipc=1, compile="yes", metadata=metadata))
    assert metadata["compile"] == "failed: no C++ compiler was found"
    assert sum(len(labels) for _, labels, _ in made) == 10


def test_auto_compiles_nothing_on_a_cpu():
    metadata = {}
    run_method(make_task(pda="none", ipc=1, metadata=metadata), seconds=10_000)
    assert metadata["compile"] == "no"
