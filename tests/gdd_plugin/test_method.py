"""Tests of the method's batches in every kind of run."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import picture_folders
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    StableDiffusionXLPipeline,
)
from sampling import collect, make_budget, make_task, run_method

from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST
from gdd_plugin import generator as generator_module
from gdd_plugin import method, prompts
from gdd_plugin.generator import ImageGenerator
from gdd_plugin.improvement.work import Work
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.settings import parse_settings


def test_distill_goes_round_robin_and_marks_the_copies():
    task = make_task(ipc=4, copies=1, batch=7)
    labels = np.concatenate([labels for _, labels, _ in run_method(task)])
    sampled = np.concatenate([marks for _, _, marks in run_method(task)])
    assert labels[sampled].tolist() == [*range(10), *range(10)]
    assert sampled.tolist() == [True, False] * 20
    assert labels[~sampled].tolist() == labels[sampled].tolist()


def test_seed_determines_the_images():
    first, again, other = (collect(make_task(seed=seed)) for seed in (5, 5, 6))
    assert first.sha256 == again.sha256 != other.sha256
    assert first.images.shape == (20, 1, 28, 28)


def test_published_preset_samples_a_fifth_and_trims_the_rest():
    metadata = {}
    distilled = collect(make_task(ipc=7, preset="published", metadata=metadata))
    # There are ceil(7 / 5) samples with 4 copies each. The last copies are left out.
    assert (distilled.ipc, distilled.generated_per_class) == (7, 2)
    assert (metadata["prompts"], metadata["pda"], metadata["copies"]) == ("bare", "published", 4)


@pytest.mark.parametrize(("seconds", "copies"), [(1e-3, 0), (1e3, 1)])
def test_copies_replace_samples_only_where_time_is_short(monkeypatch, seconds, copies):
    monkeypatch.setattr(ImageGenerator, "seconds_per_image", lambda self: seconds)
    metadata = {}
    distilled = collect(make_task(ipc=4, metadata=metadata))
    assert (distilled.ipc, distilled.generated_per_class) == (4, 4 // (1 + copies))
    assert metadata["copies"] == metadata["decided"]["copies"] == copies


def test_sampling_is_timed_on_images_outside_the_set():
    task = make_task(pda="none")
    timed, other = (
        ImageGenerator(task, parse_settings(task.options, "fashion-mnist"), 20) for _ in range(2)
    )
    assert 0 < timed.seconds_per_image() < 1
    images = [generator.generate([(0, 0)])[0] for generator in (timed, other)]
    assert np.array_equal(*images)


def test_distill_reports_metadata_for_the_record():
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


def test_any_sdxl_folder_works_with_any_dataset(random_turbo):
    metadata = {}
    distilled = collect(
        make_task(
            CIFAR10,
            ipc=2,
            model=str(random_turbo),
            prompts="photo",
            pda="published",
            metadata=metadata,
        )
    )
    assert distilled.images.shape == (20, 3, 32, 32)
    # The record has the name of the folder, but not the path to it.
    assert metadata["model"] == "random-turbo"


def test_cifar100_prompts_are_in_the_order_of_the_dataset(random_turbo, monkeypatch):
    sampled, latents = [], TurboSampler.latents

    def recording(self, prompts, generators):
        sampled.extend(prompts)
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", recording)
    # With one worker, the batches are sampled in order.
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    batches = run_method(
        make_task(CIFAR100, ipc=1, preset="published", model=str(random_turbo), decoder="vae")
    )
    labels = np.concatenate([labels for _, labels, _ in batches])
    prompts = dict(zip(labels[::5].tolist(), sampled, strict=True))
    assert [prompts[label] for label in (0, 1, 4, 30, 99)] == [
        "apple",
        "aquarium fish",
        "beaver",
        "dolphin",
        "worm",
    ]


def test_prompts_of_a_dataset_replace_its_class_names():
    theirs = prompts.class_prompts(FASHION_MNIST.class_names, FASHION_MNIST.name)
    own_prompts = tuple(prompt for (prompt,) in theirs[:3])
    names = ("n01", "n02", "n03")
    own = replace(FASHION_MNIST, name="own", class_names=names, prompts=own_prompts)
    metadata = {}
    ours = collect(make_task(own, model="turbo-mini", metadata=metadata))
    other = collect(make_task(FASHION_MNIST))
    first, second = (one.images[: 3 * one.ipc].astype(int) for one in (ours, other))
    assert abs(first - second).max() <= 1
    expected = "model turbo-mini was trained on fashion-mnist alone, not on the classes of own;"
    assert metadata["warning"].startswith(expected)
    task = make_task(own, model="turbo-mini", prompts="a {name}")
    template = ImageGenerator(task, parse_settings(task.options, own.name), 1)
    assert template.prompts == [["a n01"], ["a n02"], ["a n03"]]


def test_a_missing_default_model_is_explained(ddbench, methods_here, tmp_path):
    picture_folders.write(tmp_path / "clothes")
    # Fakes the hub: it can't be reached.
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = ddbench("run", "--method", "generative-turbo", "--dataset", "clothes/", **offline)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "the bundled model knows only fashion-mnist, not clothes" in line
    assert "hf download stabilityai/sdxl-turbo" in line
    assert line.endswith("or train a small one: ddbench-turbo train --dataset DATASET")


def test_run_reports_a_missing_accelerator_in_one_line(ddbench):
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is available")
    done = ddbench("run", "--method", "generative-turbo", "--device", "cuda", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "error: no cuda device is available; run with --device auto or cpu\n",
    )


def test_images_do_not_depend_on_workers_and_batches():
    whole = run_method(make_task(pda="none", ipc=10, batch=100))
    parts = run_method(make_task(pda="none", ipc=10, batch=9))
    first, second = (
        np.concatenate([images for images, _, _ in run]).astype(int) for run in (whole, parts)
    )
    assert np.abs(first - second).max() <= 1


@pytest.mark.parametrize("ipc", [5, 6])
def test_several_processes_generate_the_same_images_as_one(ipc):
    """The third sampled image of a class is the same, whichever process generates it."""
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
def test_sampling_fills_the_time_limit_with_ipc_max(monkeypatch, per_image):
    """Each image advances a fake clock, because a real machine may be busy with other work."""
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
    # Batches become smaller towards the end.
    assert len(in_time) > 5
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 0.25 * seconds


def test_distill_works_with_a_step_that_only_the_pipeline_can_compute(random_turbo, tmp_path):
    pipe = StableDiffusionXLPipeline.from_pretrained(random_turbo)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(tmp_path / "other")
    metadata = {}
    batches = run_method(
        make_task(pda="none", ipc=2, batch=8, model=str(tmp_path / "other"), metadata=metadata)
    )
    # The scheduler of the pipeline is stateful, so there is only one worker.
    assert metadata["lanes"] == 1
    assert [len(labels) for _, labels, _ in batches] == [8, 8, 4]


def test_endless_batches_stop_when_the_generator_is_closed(monkeypatch):
    counts, make = [], ImageGenerator._generate
    monkeypatch.setattr(
        ImageGenerator,
        "_generate",
        lambda self, batch: counts.append(len(batch)) or make(self, batch),
    )
    batches = method.distill(make_task(pda="none", ipc=None, batch=10), make_budget(1000))
    first = list(itertools.islice(batches, 2))
    # This waits for batches that are in progress.
    batches.close()
    assert len(first) == 2
    assert len(counts) <= 2 + 2 * torch.get_num_threads()


@pytest.mark.parametrize(
    ("work", "ipc", "size"),
    [
        (Work("regression", "pixels"), 1, 600),
        (Work("regression", "pixels"), 50, 1000),
        (Work("regression", "pixels"), 500, 3000),
        (Work("regression", "pixels"), 5000, 5000),
        (Work("regression", "none"), 500, 10000),
        (Work("none", "pixels"), 50, 50),
        (Work("regression", "pixels", pool=70), 50, 70),
        (Work("regression", "pixels", pool=20), 50, 50),
    ],
)
def test_the_pool_grows_with_the_set_unless_refinement_needs_the_time(work, ipc, size):
    assert method.pool_size(work, ipc) == size
