"""What a student that was trained on real images sees in an image: for choosing among images, and for telling classes apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.cpu import fused as fast
from benchmark_adapters.scoring.recipes import QUICKSTART
from benchmark_adapters.types import Dataset

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

NAME = f"{QUICKSTART.student} at width {QUICKSTART.width}, trained by {QUICKSTART.name}"


def learn(
    images: Array,
    labels: Array,
    dataset: Dataset,
    seed: int = 0,
    device: str = "cpu",
    steps: int | None = None,
) -> students.ConvNet:
    """The student of quickstart/1, trained by it or for another number of steps; ``images`` uint8 [N, C, H, W], ``labels`` int64 [N]."""
    recipe = replace(QUICKSTART, steps=steps or QUICKSTART.steps)
    net = untrained(dataset, seed)
    training.train(
        net,
        training.Normalised.of(images, dataset.mean, dataset.std),
        torch.from_numpy(labels),
        recipe,
        seed,
        device,
    )
    return net


def untrained(dataset: Dataset, seed: int = 0) -> students.ConvNet:
    """The student of quickstart/1 as it begins."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
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
def of(net: students.ConvNet, images: Array, dataset: Dataset) -> Array:
    """Features float32 [N, d] of ``images`` uint8 [N, C, H, W]: what the last layer of `learn`'s network gets."""
    net.eval()
    device = next(net.parameters()).device
    seen = training.Normalised.of(images, dataset.mean, dataset.std)
    size = fast.piece(net, device) or training.TEST_BATCH
    return torch.cat(
        [
            net.features(seen[start : start + size].to(device)).flatten(1).cpu()
            for start in range(0, len(images), size)
        ]
    ).numpy()
