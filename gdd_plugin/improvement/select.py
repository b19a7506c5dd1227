"""Select the images of a pool from which a regression learns most about real images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark_adapters.students import ConvNet
from gdd_plugin.improvement import networks, regression
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.real_images import RealImages

REAL = 3000
RIDGE = 0.1
# The kernel is averaged over untrained networks, and over networks after these numbers of steps on
# real images.
UNTRAINED = 2
TRAINED_STEPS = (30, 120)
REAL_BATCH, LR = 60, 0.03
# Seeds of the networks, so that every process and every machine uses the same.
FIRST_SEED = 10_000


@dataclass(frozen=True)
class Kernels:
    """Kernels averaged over networks, and the targets of their rows.

    Attributes:
        pool: [n, n] between the images of the pool.
        real: [m, n] between real images and the pool.
        pool_targets: [n, classes].
        real_targets: [m, classes].
    """

    pool: Tensor
    real: Tensor
    pool_targets: Tensor
    real_targets: Tensor


def kernels(nets: Networks, real: RealImages, pool: Tensor, labels: Tensor, seed: int) -> Kernels:
    """Compute the kernels of a pool of uint8 images [n, C, S, S] with labels int64 [n]."""
    rng = np.random.default_rng([seed, FIRST_SEED])
    num_classes = int(labels.max()) + 1
    real_images, real_labels = real.draw(REAL, rng)
    images = real.normalise(pool)
    members = _kernel_networks(nets, real, rng)
    per_network = nets.map(lambda net: _kernels_of(nets, net, images, real_images), members)
    return Kernels(
        torch.stack([of_pool for of_pool, _ in per_network]).mean(0),
        torch.stack([of_real for _, of_real in per_network]).mean(0),
        regression.targets(labels, num_classes).to(images.device),
        regression.targets(real_labels, num_classes),
    )


def _kernels_of(nets: Networks, net: ConvNet, pool: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Return the kernels of one network, scaled so that the pool's mean diagonal is 1."""
    of_pool, of_real = nets.constant_features(net, pool), nets.constant_features(net, real)
    centre = of_real.mean(0)
    of_pool, of_real = of_pool - centre, of_real - centre
    scale = of_pool.square().sum(1).mean()
    return of_pool @ of_pool.t() / scale, of_real @ of_pool.t() / scale


def _kernel_networks(nets: Networks, real: RealImages, rng: np.random.Generator) -> list[ConvNet]:
    """Return the networks of the kernel."""
    members = [nets.build(FIRST_SEED + number) for number in range(UNTRAINED)]
    net = nets.build(FIRST_SEED + UNTRAINED)
    optimizer = networks.sgd(net, LR)
    for step in range(1, max(TRAINED_STEPS) + 1):
        images, labels = real.draw(REAL_BATCH, rng)
        nets.train(net, optimizer, [nets.augment(images)], labels)
        if step in TRAINED_STEPS:
            members.append(networks.frozen(net))
    return members


def trained_network(nets: Networks, real: RealImages, seed: int) -> ConvNet:
    """Return the last network of the kernel, trained on real images."""
    return _kernel_networks(nets, real, np.random.default_rng([seed, FIRST_SEED]))[-1]


def exchange(
    kernels: Kernels, selected: Sequence[int], seed: int, is_over: Callable[[], bool]
) -> Iterator[list[int]]:
    """Exchange images of the set for better ones of the same class; yield the set after each sweep.

    A sweep visits every image of the set once. Among all images of its class in the pool, the one
    with the lowest regression loss on the real images takes its place. The iterator ends when a
    sweep changes nothing or when ``is_over``.

    Args:
        kernels: the kernels of the pool.
        selected: indices of the images in the set.
        seed: determines the order of the visits.
        is_over: returns whether the time is over; asked before each visit.
    """
    rng = np.random.default_rng([seed, FIRST_SEED + 1])
    classes = kernels.pool_targets.argmax(1)
    members = [torch.where(classes == label)[0] for label in range(kernels.pool_targets.shape[1])]
    current = list(selected)
    while True:
        before = list(current)
        for slot in rng.permutation(len(current)):
            if is_over():
                return
            label = int(classes[current[slot]])
            rest = current[:slot] + current[slot + 1 :]
            current[slot] = _best_addition(kernels, rest, members[label])
        yield list(current)
        if current == before:
            return


def _best_addition(kernels: Kernels, rest: Sequence[int], candidates: Tensor) -> int:
    """Return the candidate that lowers the loss of the regression on ``rest`` most.

    The loss with each candidate follows from the solution without it by the inverse of a matrix
    with one more row (block inversion).
    """
    rows = torch.tensor(rest, device=kernels.pool.device)
    ridge = RIDGE * torch.eye(len(rest), device=rows.device)
    inverse = torch.linalg.inv(kernels.pool[rows][:, rows] + ridge)
    to_candidates = kernels.pool[rows][:, candidates]
    projected = inverse @ to_candidates
    real_rest = kernels.real[:, rows]
    weights = inverse @ kernels.pool_targets[rows]
    error = real_rest @ weights - kernels.real_targets
    direction = kernels.real[:, candidates] - real_rest @ projected
    diagonal = kernels.pool.diagonal()[candidates] + RIDGE
    schur = diagonal - (to_candidates * projected).sum(0)
    residual = kernels.pool_targets[candidates] - to_candidates.t() @ weights
    linear = 2 * ((error.t() @ direction).t() * residual).sum(1) / schur
    quadratic = direction.square().sum(0) * residual.square().sum(1) / schur.square()
    change = linear + quadratic
    change[torch.isin(candidates, rows)] = float("inf")
    return int(candidates[change.argmin()])
