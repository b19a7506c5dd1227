"""turbo-mini on this machine's CPU: the published loop, the start, memory, the harness."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from benchmark_adapters.runs.collect import write_round
from diffusers import StableDiffusionXLPipeline

from benchmark_adapters import plugins as host
from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.execution.supervisor import Enough, supervise
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs.request import Request, plan
from benchmark_adapters.types import Task
from gdd_plugin import batching, method
from gdd_plugin.generator import ImageGenerator
from gdd_plugin.models import registry
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.settings import OPTIONS, parse_settings
from leaderboard.records import store

pytestmark = pytest.mark.bench
NAMES = FASHION_MNIST.class_names


def task(ipc):
    options = {option.name: option.default for option in OPTIONS} | {"pda": "none"}
    return Task(
        "quickstart", FASHION_MNIST, 0, "cpu", ipc, options, lambda: None, lambda **facts: None
    )


def asked(tmp_path, **other):
    (todo,) = plan(
        Request(
            **{
                "method": "generative-turbo",
                "runs": tmp_path,
                "repeats": 0,
                "options": ["pda=none"],
                **other,
            }
        ),
        host.build(),
    )
    return todo


def test_sampling_against_the_published_loop(alternate, show, monkeypatch, tmp_path):
    """Text, UNet, decoding, cropping and writing of 4,000 images, the model loaded; the loop makes 80."""
    monkeypatch.setattr(TurboSampler, "free_encoders", lambda self: None)
    count, few = 4000, 80
    todo = task(count // 10)
    generator = ImageGenerator(todo, parse_settings(todo.options, "fashion-mnist"), count)
    pipe = StableDiffusionXLPipeline.from_pretrained(registry.BUNDLED["turbo-mini"])
    pipe.set_progress_bar_config(disable=True)

    def ours():
        generator.turbo._embeddings.clear()
        generator.turbo.encode(NAMES)
        batches = batching.batches(
            method.image_keys(todo, count // 10), generator.sizer, Budget(1e9, 1e9)
        )
        made_batches = batching.parallel_map(
            generator.generate, batches, generator.num_workers, torch.get_num_threads()
        )
        for number, made in enumerate(made_batches):
            write_round(tmp_path / f"{number}.safetensors", *(part.numpy() for part in made))

    def published():
        for number in range(few):
            picture = pipe(NAMES[number % 10], num_inference_steps=1, guidance_scale=0.0).images[0]
            picture.resize((28, 28)).save(tmp_path / f"{number}.png")

    mine, theirs = alternate(ours, published)
    ratio = (theirs / few) / (mine / count)
    show(
        "sampling, images/s",
        f"{count / mine:.0f}",
        f"{few / theirs:.1f} (published loop)",
        f"{ratio:.1f}x",
        ">= 15x, goal 25x",
    )
    assert ratio > 15


def test_start_against_its_imports(alternate, show, tmp_path):
    """From the start of the method's process to its first round on disk."""
    todo = asked(tmp_path, ipc=10, options=["pda=none", "batch=1"])
    numbers = iter(range(1000))

    def ours():
        def first(outcome):
            raise Enough

        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        supervise(harness.jobs(todo), 60, folder, first)

    used = (
        "import torch\n"
        "from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel\n"
        "from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer\n"
    )
    mine, theirs = alternate(
        ours, lambda: subprocess.run([sys.executable, "-c", used], check=True, capture_output=True)
    )
    show(
        "first image after, s",
        f"{mine:.2f}",
        f"{theirs:.2f} (importing what is used)",
        f"{mine / theirs:.2f}",
        "about 1",
    )
    assert mine < 1.5 * theirs


def test_the_harness_against_the_method_alone(alternate, show, tmp_path):
    """12,000 images past loading: rounds to disk, the record, the grid, against rounds that are thrown away."""
    past_loading = {"alone": [], "around": []}

    def alone():
        began = []
        todo = Task(
            **{**vars(task(1200)), "ready": lambda **facts: began.append(time.perf_counter())}
        )
        for _ in method.distill(todo, Budget(1e9, time.monotonic() + 1e9)):
            pass
        past_loading["alone"].append(time.perf_counter() - began[0])

    def around():
        todo, began = asked(tmp_path, ipc=1200), []

        def make(folder):
            began.append(time.perf_counter())
            return harness.sampled(todo, folder)

        record = store.read(harness.complete(todo, make))
        past_loading["around"].append(time.perf_counter() - began[0] - record.seconds["load"])

    alternate(around, alone)
    mine, theirs = (
        statistics.median(past_loading[side][1:]) for side in ("around", "alone")
    )  # the first round warmed up
    show(
        "harness, s past loading",
        f"{mine:.2f}",
        f"{theirs:.2f} (method alone)",
        f"{100 * (mine / theirs - 1):+.1f} %",
        "< 5 %",
    )
    assert mine < 1.15 * theirs


def test_memory_does_not_grow_with_the_images(benchmark, show, tmp_path):
    """Peak of the resident memory of all processes of a run."""

    def peak(ipc):
        command = [
            Path(sys.executable).parent / "ddbench",
            "run",
            "--method",
            "generative-turbo",
            "--option",
            "pda=none",
            "--repeats",
            "0",
        ]
        process = psutil.Popen(
            [*map(str, command), "--ipc", str(ipc), "--json"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        highest = 0
        while process.poll() is None:
            total = 0
            for one in [process, *process.children(recursive=True)]:
                try:
                    total += one.memory_info().rss
                except psutil.Error:
                    continue
            highest = max(highest, total)
            time.sleep(0.02)
        assert json.loads(process.stdout.read())["ipc"] == ipc
        return highest

    few = peak(100)
    many = benchmark.pedantic(lambda: peak(2000), rounds=1)
    show(
        "peak memory, MB",
        f"{many / 1e6:.0f} (20,000 images)",
        f"{few / 1e6:.0f} (1,000)",
        f"{100 * (many / few - 1):+.1f} %",
        "within 10 %",
    )
    assert many < 1.1 * few
