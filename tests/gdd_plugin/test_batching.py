"""Batches: their size by time and memory, several at once, and the time limit filled."""

import itertools
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionXLPipeline

from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.types import Task, UserError
from gdd_plugin import batching, method
from gdd_plugin.batching import BatchSize, batches, in_lanes
from gdd_plugin.plugin import OPTIONS
from gdd_plugin.sampler import TurboSampler

DEFAULTS = {option.name: option.default for option in OPTIONS}


def budget(seconds):
    return Budget(seconds, time.monotonic() + seconds)


def task(ipc=2, facts=None, part=0, parts=1, device="cpu", **options):
    def hear(**found):
        (facts if facts is not None else {}).update(found)

    values = {**DEFAULTS, "pda": "none", **options}
    return Task(
        "quickstart",
        FASHION_MNIST,
        0,
        device,
        ipc,
        values,
        lambda: pytest.fail("real images were asked for"),
        hear,
        hear,
        part,
        parts,
    )


def rounds(todo, seconds=1000.0):
    return [
        tuple(np.asarray(part) for part in value) for value in method.rounds(todo, budget(seconds))
    ]


# Sizes


def grow(size, seconds):
    """Tells ``size`` of batches as if ``seconds(count)`` were a GPU's times; returns the sizes tried."""
    tried = []
    while size.growing:
        tried.append(size.size)
        size.took(size.size, seconds(size.size))
    return tried


def test_a_gpus_batch_grows_while_that_pays():
    size = BatchSize(None, "cuda", 3e9)
    tried = grow(size, lambda count: 0.05 + 0.01 * count)
    assert tried == [4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128]
    assert size.size == 128  # from 64 on, twice the batch brings less than a twentieth


def test_a_gpus_batch_stops_at_its_memory():
    size = BatchSize(None, "cuda", 3e9)
    for _ in range(2):
        size.took(4, 0.1)
    assert size.size == 8
    size.out_of_memory(8)
    assert (size.size, size.growing) == (4, False)


def test_on_a_cpu_a_seed_gives_the_same_batches_in_every_run():
    assert not BatchSize(None, "cpu", 1e6).growing
    assert BatchSize(None, "cpu", 1e6).size == batching.SMALL_BATCH
    assert BatchSize(None, "cpu", 1e6, most=50).size == 50  # no lane gets all the images
    assert BatchSize(None, "cpu", 3e9).size == batching.CPU_BATCH
    assert BatchSize(7, "cuda", 3e9).size == 7
    assert not BatchSize(7, "cuda", 3e9).growing


def test_batches_shrink_before_the_limit():
    size = BatchSize(16, "cpu", 1e6)
    assert size.next(1e-3) == 16  # nothing is known of its time
    size.took(16, 1.6)
    assert size.next(100) == 16
    assert size.next(2.0) == 10
    assert size.next(0.01) == 1


# Several at once


def test_lanes_work_at_once_and_answer_in_order():
    together = threading.Barrier(2, timeout=300)  # breaks unless two are at work at the same time

    def make(item):
        together.wait()
        time.sleep(0.05 * (item % 2))
        return item

    assert list(in_lanes(make, iter(range(6)), 2, 2)) == list(range(6))


def test_lanes_share_the_cores_and_leave_others_alone():
    before = torch.get_num_threads()
    shares = list(in_lanes(lambda _: torch.get_num_threads(), iter(range(4)), before, before))
    assert set(shares) == {1}
    assert torch.get_num_threads() == before


def test_an_error_in_a_lane_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        list(in_lanes(lambda item: 1 // item, iter([1, 0, 1]), 2, 2))


def test_a_batch_takes_what_is_left():
    assert list(batches(iter(range(5)), BatchSize(2, "cpu", 1e6), budget(9))) == [
        [0, 1],
        [2, 3],
        [4],
    ]


# The method


def test_images_are_the_same_in_every_lane_and_batch():
    whole = rounds(task(ipc=10, batch=100))
    parts = rounds(task(ipc=10, batch=9))
    first, second = (
        np.concatenate([images for images, _, _ in made]).astype(int) for made in (whole, parts)
    )
    assert np.abs(first - second).max() <= 1


@pytest.mark.parametrize("ipc", [5, 6])
def test_parts_make_the_same_images_as_one(ipc):
    """The third sampled image of a class is the same whoever makes it."""
    ((images, labels, _),) = rounds(task(ipc=ipc, batch=100))
    joined = np.empty_like(images)
    for part in range(2):
        ((some, theirs, _),) = rounds(task(ipc=ipc, batch=100, part=part, parts=2))
        indices = [part, part + 2, part + 4][: len(some) // 10]
        rows = [10 * index + label for index in indices for label in range(10)]
        assert np.array_equal(theirs, labels[rows])
        joined[rows] = some
    assert np.abs(joined.astype(int) - images.astype(int)).max() <= 1


@pytest.mark.parametrize("per_image", [0.004, 0.03])
def test_with_max_the_time_goes_to_sampling(monkeypatch, per_image):
    """On a clock of its own, which an image puts forward: a real machine may do something else at the end."""
    now, seconds, times = [0.0], 60.0, []
    clock = SimpleNamespace(monotonic=lambda: now[0], perf_counter=lambda: now[0])
    monkeypatch.setattr("benchmark_adapters.budget.time", clock)
    monkeypatch.setattr(method, "time", clock)

    def make(studio, batch):
        now[0] += 0.01 + per_image * len(batch)
        times.append(now[0])
        return torch.zeros(len(batch), 1, 28, 28, dtype=torch.uint8), torch.zeros(
            len(batch), dtype=torch.int64
        )

    monkeypatch.setattr(method.Studio, "_make", make)
    for _ in method.rounds(task(ipc=None), Budget(seconds, seconds)):
        if now[0] > seconds:
            break
    in_time = [at for at in times if at <= seconds]
    assert in_time[-1] > 0.95 * seconds
    assert len(in_time) > 5  # smaller and smaller batches at the end
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 0.25 * seconds


# Memory


@pytest.fixture
def little_memory(monkeypatch):
    """A fake: the model raises what CUDA raises for more than 5 images, since no test can fill a GPU here."""
    latents, seen = TurboSampler.latents, []

    def small(self, prompts, generators):
        seen.append(len(prompts))
        if len(prompts) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", small)
    return seen


def test_out_of_memory_halves_the_batch_and_loses_nothing(little_memory):
    facts = {}
    made = rounds(task(ipc=4, batch=20, facts=facts))
    labels = np.concatenate([labels for _, labels, _ in made])
    assert labels.tolist() == list(range(10)) * 4
    assert facts["batch"] == 5
    assert little_memory[-1] <= 5
    expected = np.concatenate([images for images, _, _ in rounds(task(ipc=4, batch=5))]).astype(int)
    assert (
        np.abs(np.concatenate([images for images, _, _ in made]).astype(int) - expected).max() <= 1
    )


def test_out_of_memory_gives_up_what_was_compiled_for_larger_batches(monkeypatch):
    """A fake of a compiler and of memory that is full once two lanes work: smaller batches must not be filled up again."""
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
    facts = {}
    made = rounds(task(ipc=4, batch=20, compile="yes", facts=facts))
    assert sorted(np.concatenate([labels for _, labels, _ in made]).tolist()) == sorted(
        list(range(10)) * 4
    )
    assert seen[0] == 20
    assert seen[-1] <= 5
    assert (facts["batch"], facts["compile"]) == (5, "given up, memory was short")


def test_no_memory_for_one_image_is_one_line(monkeypatch):
    """A fake, as above."""

    def full(self, prompts, generators):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TurboSampler, "latents", full)
    with pytest.raises(
        UserError,
        match=r"no memory for one image of 32 pixels; give a smaller one with --option size=",
    ):
        rounds(task(ipc=1))


def test_other_errors_are_not_taken_for_it(monkeypatch):
    def broken(self, prompts, generators):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(TurboSampler, "latents", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        rounds(task(ipc=1))


# Compiling


def test_compiling_is_filled_up_and_changes_nothing(monkeypatch):
    """A fake compiler, which hears the shapes: the real one takes a minute here and gains nothing."""
    shapes = []

    def compiled(self, **settings):
        forward = self.forward

        def listening(sample, *arguments, **named):
            shapes.append(tuple(sample.shape))
            return forward(sample, *arguments, **named)

        self._compiled_call_impl = listening

    monkeypatch.setattr(torch.nn.Module, "compile", compiled)
    facts = {}
    made = rounds(task(ipc=3, batch=8, compile="yes", facts=facts))
    assert facts["compile"] == "yes"
    assert facts["compile_seconds"] >= 0
    assert set(shapes) == {(8, 4, 8, 8)}
    assert sum(len(labels) for _, labels, _ in made) == 30
    plain = rounds(task(ipc=3, batch=8))
    pairs = zip(made, plain, strict=True)
    assert all(np.abs(one[0].astype(int) - other[0].astype(int)).max() <= 1 for one, other in pairs)


def test_a_compiler_that_fails_costs_only_its_time(monkeypatch):
    """A fake: a machine without a compiler raises at the first call."""

    def compiled(self, **settings):
        def raising(*arguments, **named):
            raise RuntimeError("no C++ compiler\nwas found")

        self._compiled_call_impl = raising

    monkeypatch.setattr(torch.nn.Module, "compile", compiled)
    facts = {}
    made = rounds(task(ipc=1, compile="yes", facts=facts))
    assert facts["compile"] == "failed: no C++ compiler was found"
    assert sum(len(labels) for _, labels, _ in made) == 10


def test_auto_compiles_nothing_on_a_cpu():
    facts = {}
    rounds(task(ipc=1, facts=facts), seconds=10_000)
    assert facts["compile"] == "no"


def test_a_step_that_only_the_pipeline_computes_makes_rounds_too(random_turbo, tmp_path):
    pipe = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(tmp_path / "lcm")
    facts = {}
    made = rounds(task(ipc=2, batch=8, model=str(tmp_path / "lcm"), facts=facts))
    assert facts["lanes"] == 1  # its scheduler has a state
    assert [len(labels) for _, labels, _ in made] == [8, 8, 4]


def test_rounds_without_end_end_when_nobody_listens(monkeypatch):
    counts, make = [], method.Studio._make
    monkeypatch.setattr(
        method.Studio, "_make", lambda self, batch: counts.append(len(batch)) or make(self, batch)
    )
    made = method.rounds(task(ipc=None, batch=10), budget(1000))
    first = list(itertools.islice(made, 2))
    made.close()  # waits for what is being made
    assert len(first) == 2
    assert len(counts) <= 2 + 2 * torch.get_num_threads()
