"""Show what TF32 does to a score, for the table in experiments.md.

    python experiments/tf32.py --seeds 8

A GPU with TF32 rounds the operands of a convolution to 10 bits of the mantissa, and adds up their
products in float32. Rounding the operands on a CPU has the same effect. Each seed trains two equal
students on the same real images of Fashion-MNIST, with and without that rounding, for a number of
epochs of eccv2024/1, and tests them on the whole test split. The difference of each pair is
printed, and their mean with its 95 % interval.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import click
import numpy as np
import torch
from scipy import stats
from torch import Tensor

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.images import Normalised
from benchmark_adapters.scoring.recipes import ECCV2024

DROPPED_BITS = 13


def round_to_tf32(values: Tensor) -> Tensor:
    """Round float32 values to the nearest that TF32 has."""
    half = 1 << (DROPPED_BITS - 1)
    bits = values.contiguous().view(torch.int32)
    return ((bits + half) & ~((1 << DROPPED_BITS) - 1)).view(torch.float32).view(values.shape)


class RoundedConvolution(torch.autograd.Function):
    """A convolution with a stride of 1 whose three products have operands in TF32."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, padding: Any) -> Tensor:
        images, weight = round_to_tf32(images), round_to_tf32(weight)
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        return torch.conv2d(images, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        images, weight = ctx.saved_tensors
        of_images, of_weight, _ = torch.ops.aten.convolution_backward(
            round_to_tf32(gradient),
            images,
            weight,
            None,
            (1, 1),
            ctx.padding,
            (1, 1),
            False,
            (0, 0),
            1,
            (ctx.needs_input_grad[0], True, False),
        )
        return of_images, of_weight, gradient.sum((0, 2, 3)), None


@contextlib.contextmanager
def rounded_convolutions() -> Iterator[None]:
    """Let convolutions round their operands to TF32."""

    def forward(layer: torch.nn.Conv2d, images: Tensor) -> Tensor:
        return RoundedConvolution.apply(images, layer.weight, layer.bias, layer.padding)

    with patch.object(torch.nn.Conv2d, "forward", forward):
        yield


def accuracy(seed: int, ipc: int, epochs: int, width: int) -> float:
    """Return the test accuracy in % of a student trained on the first images of each class."""
    images, labels = datasets.load(FASHION_MNIST, "train")
    rows = np.concatenate([np.flatnonzero(labels == label)[:ipc] for label in range(10)])
    mean, std = FASHION_MNIST.mean, FASHION_MNIST.std
    torch.manual_seed(seed)
    net = students.build("convnet3", 10, 28, 1, width)
    recipe = replace(ECCV2024, epochs=epochs, lr_drop_after=epochs // 2)
    chosen = Normalised.of(images[rows], mean, std)
    training.train(net, chosen, torch.from_numpy(labels[rows]), recipe, seed, backend="reference")
    test_images, test_labels = datasets.load(FASHION_MNIST, "test")
    normalised = Normalised.of(test_images, mean, std)
    return 100 * training.accuracy(net, normalised, torch.from_numpy(test_labels))


@click.command()
@click.option("--seeds", default=8)
@click.option("--ipc", default=10)
@click.option("--epochs", default=400)
@click.option("--width", default=32)
def main(seeds: int, ipc: int, epochs: int, width: int) -> None:
    """Print both accuracies for each seed, and the mean difference."""
    differences = []
    for seed in range(seeds):
        plain = accuracy(seed, ipc, epochs, width)
        with rounded_convolutions():
            rounded = accuracy(seed, ipc, epochs, width)
        differences.append(rounded - plain)
        click.echo(f"seed {seed}: {plain:.2f} {rounded:.2f} {differences[-1]:+.2f}")
    mean, error = np.mean(differences), stats.sem(differences)
    extent = error * stats.t.ppf(0.975, seeds - 1)
    click.echo(f"TF32 - float32: {mean:+.2f} +- {extent:.2f} points")


if __name__ == "__main__":
    main()
