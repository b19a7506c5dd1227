"""Choose between states of a set with fresh networks and held-out real images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gdd_plugin.improvement import networks
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.real_images import RealImages

# A short version of the recipes that take 1001 epochs: a higher rate, divided by 10 halfway.
STEPS, LR = 100, 0.05
SEEDS = (30_000, 30_001)
MAX_HELD_OUT = 2000


def accuracies(
    nets: Networks,
    real: RealImages,
    states: Sequence[Tensor],
    labels: Tensor,
    steps: int = STEPS,
    seeds: Sequence[int] = SEEDS,
) -> list[list[float]]:
    """Train fresh networks on each state and return their held-out accuracies.

    Args:
        nets: builds the networks.
        real: provides the held-out images.
        states: sets with the same labels, each uint8 [n, C, S, S].
        labels: int64 [n].
        steps: steps for which each network is trained.
        seeds: seeds of the networks. All states meet the same ones.

    Returns:
        For each state, the accuracy of each network as a fraction.
    """
    pixels, classes = real.held_out
    kept = torch.arange(len(classes))[:: max(1, len(classes) // MAX_HELD_OUT)]
    images, targets = real.normalise(pixels[kept]), classes[kept].to(real.device)
    labels = labels.to(real.device)

    def test(batches: Sequence[Tensor], seed: int) -> float:
        net = nets.build(seed)
        half = len(batches) // 2
        nets.train(net, networks.sgd(net, LR), batches[:half], labels)
        nets.train(net, networks.sgd(net, LR / 10), batches[half:], labels)
        with torch.no_grad():
            predicted = net.classifier(nets.constant_features(net, images)).argmax(1)
        return float((predicted == targets).float().mean())

    result = []
    for state in states:
        normalised = real.normalise(state)
        batches = [[nets.augment(normalised) for _ in range(steps)] for _ in seeds]
        result.append(nets.map(test, batches, seeds))
    return result
