"""Image features from a student trained on real images.

They are used to select images and to tell classes apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from benchmark_adapters.scoring import backends, students, training
from benchmark_adapters.scoring.images import Normalised
from benchmark_adapters.scoring.recipes import QUICKSTART
from benchmark_adapters.types import Dataset

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

NAME = f"{QUICKSTART.student} at width {QUICKSTART.width}, trained by {QUICKSTART.name}"


def train_network(
    images: Array,
    labels: Array,
    dataset: Dataset,
    seed: int = 0,
    device: str = "cpu",
    steps: int | None = None,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> students.ConvNet:
    """Train the student of quickstart/1 on real images.

    Args:
        images: uint8 [N, C, H, W].
        labels: int64 [N].
        dataset: the dataset of the images.
        seed: determines the initial weights and the order of the images.
        device: a torch device name.
        steps: number of optimizer steps; None: the recipe's number.
        report: called with (done, total) steps.

    Returns:
        The network, on ``device``.
    """
    recipe = replace(QUICKSTART, steps=steps or QUICKSTART.steps)
    net = untrained_network(dataset, seed)
    pixels = Normalised.of(images, dataset.mean, dataset.std)
    training.train(net, pixels, torch.from_numpy(labels), recipe, seed, device, report=report)
    return net


def untrained_network(dataset: Dataset, seed: int = 0) -> students.ConvNet:
    """Return the student of quickstart/1 with its initial weights."""
    with training.seeded(seed):
        net = students.build(
            QUICKSTART.student,
            dataset.num_classes,
            dataset.image_size,
            dataset.channels,
            QUICKSTART.width,
        )
    assert isinstance(net, students.ConvNet)
    return net


@torch.inference_mode()
def extract(net: students.ConvNet, images: Array, dataset: Dataset) -> Array:
    """Return the features of images: the inputs of the network's last layer, float32 [N, d].

    ``images`` are uint8 [N, C, H, W].
    """
    net.eval()
    device = next(net.parameters()).device
    pixels = Normalised.of(images, dataset.mean, dataset.std)
    size = backends.inference_batch_size(net, device, "auto")
    batches = [
        net.features(pixels[start : start + size].to(device)).flatten(1).cpu()
        for start in range(0, len(images), size)
    ]
    return torch.cat(batches).numpy()
