"""The method: batches of every kind of run."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    LCMScheduler,
    StableDiffusionXLPipeline,
)
from sampling import collect, make_budget, make_task, run_method

from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import CIFAR10, CIFAR100
from gdd_plugin import generator as generator_module
from gdd_plugin import method
from gdd_plugin.generator import ImageGenerator
from gdd_plugin.models.one_step import TurboSampler


def test_batches_go_round_robin_and_mark_the_copies():
    task = make_task(ipc=4, copies=1, batch=7)
    labels = np.concatenate([labels for _, labels, _ in run_method(task)])
    sampled = np.concatenate([marks for _, _, marks in run_method(task)])
    assert labels[sampled].tolist() == [*range(10), *range(10)]
    assert sampled.tolist() == [True, False] * 20
    assert labels[~sampled].tolist() == labels[sampled].tolist()


def test_a_seed_decides_the_images():
    first, again, other = (collect(make_task(seed=seed)) for seed in (5, 5, 6))
    assert first.sha256 == again.sha256 != other.sha256
    assert first.images.shape == (20, 1, 28, 28)


def test_the_published_preset_samples_a_fifth_and_trims():
    metadata = {}
    made = collect(make_task(ipc=7, preset="published", metadata=metadata))
    # ceil(7 / 5) samples, 4 copies of each, the last copies left out
    assert (made.ipc, made.generated_per_class) == (7, 2)
    assert (metadata["prompts"], metadata["pda"], metadata["copies"]) == ("bare", "published", 4)


def test_metadata_for_the_record():
    metadata = {}
    run_method(make_task(ipc=1, metadata=metadata, batch=20))
    assert (metadata["model"], metadata["batch"], metadata["threads"]) == (
        "turbo-mini",
        20,
        torch.get_num_threads(),
    )
    assert metadata["model_trained_on"].startswith("fashion-mnist train")
    assert metadata["model_licence"] == "Apache-2.0"
    assert len(metadata["model_sha256"]) == 64


def test_any_sdxl_folder_serves_any_dataset(random_turbo):
    metadata = {}
    made = collect(
        make_task(
            CIFAR10,
            ipc=2,
            model=str(random_turbo),
            prompts="photo",
            pda="published",
            metadata=metadata,
        )
    )
    assert made.images.shape == (20, 3, 32, 32)
    assert metadata["model"] == "random-turbo"  # its name, not the folders above it


def test_a_model_hears_of_cifar100_in_the_datasets_order(random_turbo, monkeypatch):
    heard, latents = [], TurboSampler.latents

    def listening(self, prompts, generators):
        heard.extend(prompts)
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", listening)
    monkeypatch.setattr(
        "torch.get_num_threads", lambda: 1
    )  # one worker, so that batches come in order
    made = run_method(
        make_task(CIFAR100, ipc=1, preset="published", model=str(random_turbo), decoder="vae")
    )
    labels = np.concatenate([labels for _, labels, _ in made])
    spoken = dict(zip(labels[::5].tolist(), heard, strict=True))
    assert [spoken[label] for label in (0, 1, 4, 30, 99)] == [
        "apple",
        "aquarium fish",
        "beaver",
        "dolphin",
        "worm",
    ]


def test_a_missing_accelerator_is_one_line(ddbench):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = ddbench("run", "--method", "generative-turbo", "--device", "cuda", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "error: no cuda device is available; run with --device auto or cpu\n",
    )


def test_images_are_the_same_in_every_worker_and_batch():
    whole = run_method(make_task(pda="none", ipc=10, batch=100))
    parts = run_method(make_task(pda="none", ipc=10, batch=9))
    first, second = (
        np.concatenate([images for images, _, _ in made]).astype(int) for made in (whole, parts)
    )
    assert np.abs(first - second).max() <= 1


@pytest.mark.parametrize("ipc", [5, 6])
def test_parts_make_the_same_images_as_one(ipc):
    """The third sampled image of a class is the same whoever makes it."""
    ((images, labels, _),) = run_method(make_task(pda="none", ipc=ipc, batch=100))
    joined = np.empty_like(images)
    for part in range(2):
        ((some, theirs, _),) = run_method(
            make_task(pda="none", ipc=ipc, batch=100, part=part, parts=2)
        )
        indices = [part, part + 2, part + 4][: len(some) // 10]
        rows = [10 * index + label for index in indices for label in range(10)]
        assert np.array_equal(theirs, labels[rows])
        joined[rows] = some
    assert np.abs(joined.astype(int) - images.astype(int)).max() <= 1


@pytest.mark.parametrize("per_image", [0.004, 0.03])
def test_with_max_the_time_goes_to_sampling(monkeypatch, per_image):
    """Each image advances a fake clock, since a real machine may be busy with something else."""
    now, seconds, times = [0.0], 60.0, []
    clock = SimpleNamespace(monotonic=lambda: now[0], perf_counter=lambda: now[0])
    monkeypatch.setattr("benchmark_adapters.budget.time", clock)
    monkeypatch.setattr(generator_module, "time", clock)

    def make(generator, batch):
        now[0] += 0.01 + per_image * len(batch)
        times.append(now[0])
        return torch.zeros(len(batch), 1, 28, 28, dtype=torch.uint8), torch.zeros(
            len(batch), dtype=torch.int64
        )

    monkeypatch.setattr(ImageGenerator, "_generate", make)
    for _ in method.distill(make_task(pda="none", ipc=None), Budget(seconds, seconds)):
        if now[0] > seconds:
            break
    in_time = [at for at in times if at <= seconds]
    assert in_time[-1] > 0.95 * seconds
    assert len(in_time) > 5  # smaller and smaller batches at the end
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 0.25 * seconds


def test_a_step_that_only_the_pipeline_computes_makes_batches_too(random_turbo, tmp_path):
    pipe = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(tmp_path / "lcm")
    metadata = {}
    made = run_method(
        make_task(pda="none", ipc=2, batch=8, model=str(tmp_path / "lcm"), metadata=metadata)
    )
    assert metadata["lanes"] == 1  # its scheduler has a state
    assert [len(labels) for _, labels, _ in made] == [8, 8, 4]


def test_batches_without_end_end_when_nobody_listens(monkeypatch):
    counts, make = [], ImageGenerator._generate
    monkeypatch.setattr(
        ImageGenerator,
        "_generate",
        lambda self, batch: counts.append(len(batch)) or make(self, batch),
    )
    made = method.distill(make_task(pda="none", ipc=None, batch=10), make_budget(1000))
    first = list(itertools.islice(made, 2))
    made.close()  # waits for what is being made
    assert len(first) == 2
    assert len(counts) <= 2 + 2 * torch.get_num_threads()
