"""Speed and memory of turbo-mini on this machine's CPU.

The tests cover sampling against the published loop, start-up, the harness and memory.
"""

import functools
import itertools
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from project import COMMAND

from benchmark_adapters import memory, plugins
from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.execution import supervisor
from benchmark_adapters.execution.batches import write_batch
from benchmark_adapters.runs import pipeline
from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.runs.sources.method import MethodSource, jobs
from benchmark_adapters.types import Task
from gdd_plugin import batching, method
from gdd_plugin.generator import ImageGenerator
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.models.registry import BUNDLED
from gdd_plugin.settings import OPTIONS, parse_settings
from leaderboard.records import store

pytestmark = pytest.mark.bench
NAMES = FASHION_MNIST.class_names
# The imports of any sampler for models like SDXL.
IMPORTS = """
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
"""


def make_task(ipc):
    options = {option.name: option.default for option in OPTIONS} | {
        "preset": "sampled",
        "pda": "none",
    }
    return Task(
        "quickstart", FASHION_MNIST, 0, "cpu", ipc, options, lambda: None, lambda **values: None
    )


def make_plan(runs, **values):
    settings = {"repeats": 0, "options": ["preset=sampled", "pda=none"], **values}
    request = Request("generative-turbo", runs=runs, **settings)
    (plan,) = plan_runs(request, plugins.build())
    return plan


@functools.cache
def published_pipeline():
    pipe = StableDiffusionXLPipeline.from_pretrained(BUNDLED["turbo-mini"])
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample_as_published(count, folder):
    pipe = published_pipeline()
    for number in range(count):
        picture = pipe(NAMES[number % 10], num_inference_steps=1, guidance_scale=0.0).images[0]
        picture.resize((28, 28)).save(folder / f"{number}.png")


def test_sampling_speed_against_the_published_loop(
    alternate, show, elsewhere, monkeypatch, tmp_path
):
    """Measure text encoding, UNet, decoding, cropping and writing, with the model already loaded.

    The published loop generates fewer images.
    """
    # As in the processes of methods.
    memory.keep_freed_memory()
    monkeypatch.setattr(TurboSampler, "free_encoders", lambda self: None)
    count, few = 4000, 80
    task = make_task(count // 10)
    generator = ImageGenerator(task, parse_settings(task.options, "fashion-mnist"), count)
    generator.choose_decoder()

    def ours():
        generator.sampler.embeddings.by_prompt.clear()
        generator.sampler.encode(NAMES)
        keys = method.image_keys(task, count // 10)
        batches = batching.batches(keys, generator.sizer, Budget(1e9, 1e9))
        made = batching.parallel_map(
            generator.generate, batches, generator.num_workers, torch.get_num_threads()
        )
        for number, batch in enumerate(made):
            arrays = (part.numpy() for part in batch)
            write_batch(tmp_path / f"{number}.safetensors", *arrays)

    mine, theirs = alternate(ours, lambda: elsewhere(sample_as_published, few, tmp_path))
    ratio = (theirs / few) / (mine / count)
    show(
        "sampling, images/s",
        f"{count / mine:.0f}",
        f"{few / theirs:.1f} (published loop)",
        f"{ratio:.1f}x",
        ">= 15x, goal 25x",
    )
    assert ratio > 15


def test_start_up_time_against_its_imports(alternate, show, tmp_path):
    """Measure the time from the start of the method's process to its first batch on disk."""
    plan = make_plan(tmp_path, ipc=10, options=["pda=none", "batch=1"])
    numbers = itertools.count()

    def ours():
        def stop(outcome):
            raise supervisor.StopSampling

        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        supervisor.supervise(jobs(plan.sampling), 60, folder, stop)

    def imports():
        subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True)

    mine, theirs = alternate(ours, imports)
    show(
        "first image after, s",
        f"{mine:.2f}",
        f"{theirs:.2f} (imports only)",
        f"{mine / theirs:.2f}",
        "about 1",
    )
    assert mine < 1.5 * theirs


class TimedSource(MethodSource):
    """A method source that records when the method's process starts."""

    def produce(self, folder, work):
        type(self).started = time.perf_counter()
        return super().produce(folder, work)


def test_harness_overhead_against_the_method_alone(alternate, show, tmp_path):
    """Measure 12,000 images after loading: with the harness, or with all batches discarded."""
    past_loading = {"alone": [], "around": []}

    def alone():
        starts = []
        task = make_task(1200)
        task = replace(task, ready=lambda **values: starts.append(time.perf_counter()))
        for _ in method.distill(task, Budget(1e9, time.monotonic() + 1e9)):
            pass
        past_loading["alone"].append(time.perf_counter() - starts[0])

    def around():
        plan = make_plan(tmp_path, ipc=1200)
        folder = pipeline.complete(plan.scoring, TimedSource(plan.sampling))
        load = store.read(folder).seconds.load
        past_loading["around"].append(time.perf_counter() - TimedSource.started - load)

    alternate(around, alone)
    # The first round only warms up.
    mine, theirs = (statistics.median(past_loading[side][1:]) for side in ("around", "alone"))
    show(
        "harness, s after loading",
        f"{mine:.2f}",
        f"{theirs:.2f} (method alone)",
        f"{100 * (mine / theirs - 1):+.1f} %",
        "< 5 %",
    )
    assert mine < 1.15 * theirs


def test_peak_memory_does_not_grow_with_the_number_of_images(benchmark, show, tmp_path):
    """The peak is that of the resident memory of all processes of a run together."""
    few = peak_memory(tmp_path, 100)
    many = benchmark.pedantic(lambda: peak_memory(tmp_path, 2000), rounds=1)
    show(
        "peak memory, MB",
        f"{many / 1e6:.0f} (20,000 images)",
        f"{few / 1e6:.0f} (1,000)",
        f"{100 * (many / few - 1):+.1f} %",
        "within 10 %",
    )
    assert many < 1.1 * few


def peak_memory(folder, ipc):
    """Return the peak of the total memory of a run's processes, in bytes."""
    settings = [
        "--option",
        "preset=sampled",
        "--option",
        "pda=none",
        "--repeats",
        "0",
        "--ipc",
        str(ipc),
        "--json",
    ]
    process = psutil.Popen(
        [COMMAND, "run", "--method", "generative-turbo", *settings],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    highest = 0
    while process.poll() is None:
        highest = max(highest, sum(map(resident, tree(process))))
        time.sleep(0.02)
    assert json.loads(process.stdout.read())["ipc"] == ipc
    return highest


def tree(process):
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        # The process has just exited.
        return []


def resident(process):
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
