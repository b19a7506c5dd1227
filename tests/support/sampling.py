"""Tasks for the method generative-turbo, and helpers that run them."""

import time

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.distilled import balanced
from benchmark_adapters.types import Task
from gdd_plugin import method
from gdd_plugin.seeds import seeded_generator
from gdd_plugin.settings import OPTIONS

DEFAULTS = {option.name: option.default for option in OPTIONS}


def make_task(
    dataset=FASHION_MNIST,
    ipc=2,
    seed=0,
    metadata=None,
    part=0,
    parts=1,
    device="cpu",
    training_images=lambda: pytest.fail("real images were asked for"),
    recipe=None,
    **options,
):
    """Return a task.

    Args:
        dataset: the dataset to distil.
        ipc: images per class.
        seed: random seed for sampling.
        metadata: a dict that receives the entries for the record.
        part: index of the part to generate.
        parts: number of parts of the set.
        device: the torch device.
        training_images: returns the real training images.
        recipe: the recipe of the track.
        options: options that differ from their defaults. Images are sampled alone by default.
    """

    def update(**entries):
        (metadata if metadata is not None else {}).update(entries)

    return Task(
        "quickstart",
        dataset,
        seed,
        device,
        ipc,
        {**DEFAULTS, "preset": "sampled", **options},
        training_images,
        update,
        update,
        part,
        parts,
        recipe,
    )


def make_budget(seconds):
    return Budget(seconds, time.monotonic() + seconds)


def run_method(task, seconds=1000.0):
    """Return the batches of the method as arrays."""
    return [
        tuple(np.asarray(part) for part in batch)
        for batch in method.distill(task, make_budget(seconds))
    ]


def collect(task):
    """Return the distilled set that the method generates."""
    parts = zip(*run_method(task), strict=True)
    return balanced(*map(np.concatenate, parts), task.dataset, task.ipc)


def draw_latents(turbo):
    """Return a function that samples ``count`` latents, with the Fashion-MNIST classes in turn."""
    names = FASHION_MNIST.class_names
    return lambda count, series=0: turbo.latents(
        [names[index * 10 // count % 10] for index in range(count)],
        [seeded_generator(0, -1 - series, index) for index in range(count)],
    )


def make_tiny():
    """Return an untrained tiny decoder, with the structure of TAESDXL."""
    torch.manual_seed(0)
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    )
