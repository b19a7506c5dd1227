"""Choose between states of a set with fresh networks and held-out real images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmark_adapters.students import ConvNet
from gdd_plugin.improvement import networks
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.real_images import RealImages

# Learning rates, and steps with each: a short version of the recipes that take 1001 epochs.
RATES = ((0.05, 50), (0.005, 50))
SEEDS = (30_000, 30_001)
MAX_HELD_OUT = 2000
# Time of testing and of drawing batches, as a share of that of training.
TEST_SHARE = 0.3


def seconds(states: int, step: float) -> float:
    """Return about how long the choice between ``states`` takes.

    ``step`` is the time of a step in which as many networks are trained as there are `SEEDS`.
    """
    return states * sum(steps for _, steps in RATES) * step * (1 + TEST_SHARE)


def accuracies(
    nets: Networks,
    real: RealImages,
    states: Sequence[Tensor],
    labels: Tensor,
    rates: Sequence[tuple[float, int]] = RATES,
    seeds: Sequence[int] = SEEDS,
    max_images: int = MAX_HELD_OUT,
) -> list[list[float]]:
    """Train fresh networks on each state and return their held-out accuracies.

    Args:
        nets: builds the networks.
        real: provides the held-out images.
        states: sets with the same labels, each uint8 [n, C, S, S].
        labels: int64 [n].
        rates: learning rates of each network, one after the other, and steps with each.
        seeds: seeds of the networks. All states meet the same ones.
        max_images: the largest number of held-out images to test with.

    Returns:
        For each state, the accuracy of each network as a fraction.
    """
    pixels, classes = real.held_out
    kept = torch.arange(len(classes))[:: max(1, -(-len(classes) // max_images))]
    images, targets = real.normalise(pixels[kept]), classes[kept].to(real.device)
    labels = labels.to(real.device)
    total = sum(steps for _, steps in rates)

    def test(net: ConvNet, batches: Sequence[tuple[Tensor, Tensor]]) -> float:
        remaining = iter(batches)
        for lr, steps in rates:
            nets.train(net, networks.sgd(net, lr), list(itertools.islice(remaining, steps)))
        with torch.no_grad():
            predicted = net.classifier(nets.constant_features(net, images)).argmax(1)
        return float((predicted == targets).float().mean())

    result = []
    for state in states:
        normalised = real.normalise(state)
        batches = [list(_batches(nets, normalised, labels, total, seed)) for seed in seeds]
        result.append(nets.map(test, [nets.build(seed) for seed in seeds], batches))
    return result


def _batches(
    nets: Networks, images: Tensor, labels: Tensor, steps: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield augmented images and their labels for each step, as many as the recipe's batches."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = torch.from_numpy(rng.permutation(len(images))[: nets.recipe.batch_size])
        yield nets.augment(images[rows]), labels[rows]
