"""The method: the bundled model, folders of SDXL-Turbo's layout, and the rounds that come out."""

import json
import time

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForText2Image

from benchmark_adapters import datasets
from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST
from benchmark_adapters.distilled import balanced
from benchmark_adapters.runs.request import parse_options
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.recipes import QUICKSTART
from benchmark_adapters.types import Task, UserError
from gdd_plugin import method, models
from gdd_plugin.plugin import OPTIONS, ddbench_methods
from gdd_plugin.sampler import TurboSampler

(GENERATIVE_TURBO,) = ddbench_methods()
DEFAULTS = {option.name: option.default for option in OPTIONS}


def task(dataset=FASHION_MNIST, ipc=2, seed=0, facts=None, **options):
    def ready(**found):
        (facts if facts is not None else {}).update(found)

    return Task(
        "quickstart",
        dataset,
        seed,
        "cpu",
        ipc,
        {**DEFAULTS, **options},
        lambda: pytest.fail("real images were asked for"),
        ready,
    )


def rounds(todo, seconds=1000.0):
    return [
        tuple(np.asarray(part) for part in value)
        for value in method.rounds(todo, Budget(seconds, time.monotonic() + seconds))
    ]


def collect(todo):
    parts = zip(*rounds(todo), strict=True)
    return balanced(*map(np.concatenate, parts), todo.dataset, todo.ipc)


# The bundled model


def test_the_bundled_model_is_a_complete_sdxl_folder_of_at_most_8_mb():
    root = models.BUNDLED["turbo-mini"]
    index = json.loads((root / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionXLPipeline"
    parts = {
        "text_encoder",
        "text_encoder_2",
        "tokenizer",
        "tokenizer_2",
        "unet",
        "vae",
        "scheduler",
    }
    assert parts <= {path.name for path in root.iterdir() if path.is_dir()}
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) <= 8_000_000
    scheduler = json.loads((root / "scheduler" / "scheduler_config.json").read_text())
    assert (scheduler["_class_name"], scheduler["timestep_spacing"]) == (
        "EulerAncestralDiscreteScheduler",
        "trailing",
    )
    story = json.loads((root / "training.json").read_text())
    assert story["border"] == 2
    assert len(story["settings"]["data_sha256"]) == 64


@pytest.fixture(scope="module")
def judge():
    """A student trained on the bundled real training images."""
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    torch.manual_seed(0)
    net = students.build("convnet3", 10, 28, 1, width=32)
    training.train(
        net, training.normalise(images, FASHION_MNIST), torch.from_numpy(labels), QUICKSTART, 0
    )
    return net


def test_an_ordinary_pipeline_call_with_a_bare_class_name_gives_that_class(judge):
    pipe = AutoPipelineForText2Image.from_pretrained(models.BUNDLED["turbo-mini"])
    pipe.set_progress_bar_config(disable=True)
    names = [name for name in FASHION_MNIST.class_names for _ in range(20)]
    pictures = pipe(
        names, num_inference_steps=1, guidance_scale=0.0, generator=torch.Generator().manual_seed(0)
    ).images
    assert pictures[0].size == (32, 32)
    pixels = np.stack(
        [np.asarray(picture.convert("L").crop((2, 2, 30, 30))) for picture in pictures]
    )[:, None]
    right = training.predict(judge, training.normalise(pixels, FASHION_MNIST)) == torch.arange(
        10
    ).repeat_interleave(20)
    per_class = right.view(10, 20).float().mean(1)
    assert right.float().mean() > 0.7
    assert per_class.min() > 0.2  # no class is missing; Shirt is the hard one


@pytest.mark.parametrize("style", ["name", "photo", "diverse"])
def test_templates_are_understood(judge, style):
    made = collect(task(ipc=16, prompts=style, pda="none"))
    right = training.predict(
        judge, training.normalise(made.images, FASHION_MNIST)
    ) == torch.from_numpy(made.labels)
    assert right.float().mean() > 0.65


# Rounds


def test_rounds_go_round_robin_and_mark_the_copies():
    todo = task(ipc=4, copies=1, batch=7)
    labels = np.concatenate([labels for _, labels, _ in rounds(todo)])
    sampled = np.concatenate([marks for _, _, marks in rounds(todo)])
    assert labels[sampled].tolist() == [*range(10), *range(10)]
    assert sampled.tolist() == [True, False] * 20
    assert labels[~sampled].tolist() == labels[sampled].tolist()


def test_a_seed_decides_the_images():
    first, again, other = (collect(task(seed=seed)) for seed in (5, 5, 6))
    assert first.sha256 == again.sha256 != other.sha256
    assert first.images.shape == (20, 1, 28, 28)


def test_the_published_preset_samples_a_fifth_and_trims():
    facts = {}
    made = collect(task(ipc=7, preset="published", facts=facts))
    assert (made.ipc, made.generated_per_class) == (
        7,
        2,
    )  # ceil(7 / 5) samples, 4 copies of each, the last copies left out
    assert (facts["prompts"], facts["pda"], facts["copies"]) == ("bare", "published", 4)


def test_facts_for_the_record():
    facts = {}
    rounds(task(ipc=1, facts=facts, batch=20))
    assert (facts["model"], facts["batch"], facts["threads"]) == (
        "turbo-mini",
        20,
        torch.get_num_threads(),
    )
    assert facts["model_trained_on"].startswith("fashion-mnist train")
    assert facts["model_licence"] == "Apache-2.0"
    assert len(facts["model_sha256"]) == 64


def test_any_sdxl_folder_serves_any_dataset(random_turbo):
    facts = {}
    made = collect(
        task(CIFAR10, ipc=2, model=str(random_turbo), prompts="photo", pda="published", facts=facts)
    )
    assert made.images.shape == (20, 3, 32, 32)
    assert facts["model"] == "random-turbo"  # its name, not the folders above it


def test_defaults_depend_on_the_dataset():
    assert method.settings(DEFAULTS, "fashion-mnist").model == "turbo-mini"
    assert method.settings(DEFAULTS, "cifar100").model == "stabilityai/sdxl-turbo"
    published = method.settings({**DEFAULTS, "preset": "published"}, "cifar100")
    assert (published.prompts, published.pda, published.copies) == ("bare", "published", 4)
    mixed = method.settings({**DEFAULTS, "preset": "published", "pda": "none"}, "cifar100")
    assert (mixed.prompts, mixed.pda, mixed.copies) == ("bare", "none", 0)


@pytest.mark.parametrize(
    "text", ["copies=-1", "copies=101", "batch=0", "batch=5000", "prompts=poem", "prompts={nmae}"]
)
def test_options_out_of_range(text):
    with pytest.raises(UserError, match=f"--option {text}: expected "):
        parse_options(GENERATIVE_TURBO, [text])


def test_a_model_hears_of_cifar100_in_the_datasets_order(random_turbo, monkeypatch):
    heard, latents = [], TurboSampler.latents

    def listening(self, prompts, generators):
        heard.extend(prompts)
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", listening)
    monkeypatch.setattr(
        "torch.get_num_threads", lambda: 1
    )  # one lane, so that batches come in order
    made = rounds(task(CIFAR100, ipc=1, preset="published", model=str(random_turbo), decoder="vae"))
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
        "error: no cuda device is here; run with --device auto or cpu\n",
    )
