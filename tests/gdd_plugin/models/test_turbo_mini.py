"""Tests of the bundled model and its architecture."""

import json

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForText2Image,
)
from sampling import collect, make_task

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.recipes import QUICKSTART
from gdd_plugin.models import registry, turbo_mini
from gdd_plugin.training.prompts import training_prompts


def test_bundled_model_is_a_complete_sdxl_folder_of_at_most_8_mb():
    root = registry.BUNDLED["turbo-mini"]
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
    metadata = json.loads((root / "training.json").read_text())
    assert metadata["border"] == 2
    assert len(metadata["settings"]["data_sha256"]) == 64


@pytest.fixture(scope="module")
def classifier():
    """Return a student trained on the bundled real training images."""
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    torch.manual_seed(0)
    net = students.build("convnet3", 10, 28, 1, width=32)
    training.train(
        net, training.normalise(images, FASHION_MNIST), torch.from_numpy(labels), QUICKSTART, 0
    )
    return net


def test_pipeline_call_with_a_bare_class_name_generates_that_class(classifier):
    pipe = AutoPipelineForText2Image.from_pretrained(registry.BUNDLED["turbo-mini"])
    pipe.set_progress_bar_config(disable=True)
    names = [name for name in FASHION_MNIST.class_names for _ in range(20)]
    pictures = pipe(
        names, num_inference_steps=1, guidance_scale=0.0, generator=torch.Generator().manual_seed(0)
    ).images
    assert pictures[0].size == (32, 32)
    pixels = np.stack(
        [np.asarray(picture.convert("L").crop((2, 2, 30, 30))) for picture in pictures]
    )[:, None]
    predicted = training.predict(classifier, training.normalise(pixels, FASHION_MNIST))
    right = predicted == torch.arange(10).repeat_interleave(20)
    per_class = right.view(10, 20).float().mean(1)
    assert right.float().mean() > 0.7
    # No class is missing. The hardest class is Shirt.
    assert per_class.min() > 0.2


@pytest.mark.parametrize("style", ["name", "photo", "diverse"])
def test_bundled_model_understands_templates(classifier, style):
    distilled = collect(make_task(ipc=16, prompts=style, pda="none"))
    predicted = training.predict(classifier, training.normalise(distilled.images, FASHION_MNIST))
    right = predicted == torch.from_numpy(distilled.labels)
    assert right.float().mean() > 0.65


def test_tokenizer_training_is_deterministic():
    corpus = [prompt for known in training_prompts(FASHION_MNIST) for prompt in known]
    assert len({turbo_mini.tokenizer(corpus).backend_tokenizer.to_str() for _ in range(20)}) == 1
