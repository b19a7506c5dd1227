"""Features for the selection of images from a pool: those of several networks, joined."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmark_adapters.students import ConvNet
from gdd_plugin.improvement import networks, regression
from gdd_plugin.improvement.exchange import PoolFeatures
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.real_images import RealImages

REAL = 3000
# Features come from untrained networks, and from networks after these numbers of steps on real
# images. Uncompiled networks take too long for the second.
UNTRAINED = 2
TRAINED_STEPS = (30, 120)
REAL_BATCH, LR = 60, 0.03
# Principal components that are kept of the joined features, and images that are joined at once.
MAX_COMPONENTS = 1024
CHUNK = 2000
# Seeds of the networks, so that every process and every machine uses the same.
FIRST_SEED = 10_000


class JointFeatures:
    """Features of several networks, centred on real images and scaled to a mean square of 1.

    They are reduced to the principal components of the real images.
    """

    def __init__(self, nets: Networks, real: RealImages, seed: int) -> None:
        """Train the networks; draw the real images."""
        rng = np.random.default_rng([seed, FIRST_SEED])
        self.nets, self.real = nets, real
        self.images, self.labels = real.draw(REAL, rng)
        self.members = _networks(nets, real, rng)
        each = nets.map(nets.constant_features, self.members, [self.images] * len(self.members))
        self.centres = [features.mean(0) for features in each]
        self.scales = [
            (len(each) * (features - centre).square().sum(1).mean()).rsqrt()
            for features, centre in zip(each, self.centres, strict=True)
        ]
        self.basis: Tensor | None = None
        self.of_real = self._join(each)
        if self.of_real.shape[1] > MAX_COMPONENTS:
            components = min(MAX_COMPONENTS, len(self.of_real))
            # Not all devices can decompose matrices.
            basis = torch.svd_lowrank(self.of_real.cpu(), components)[2]
            self.basis = basis.to(self.of_real.device)
            self.of_real = self.of_real @ self.basis

    def _join(self, each: list[Tensor]) -> Tensor:
        """Return the joined features [n, r] from those of each network."""
        centred = zip(each, self.centres, self.scales, strict=True)
        joined = torch.cat([(features - centre) * scale for features, centre, scale in centred], 1)
        return joined if self.basis is None else joined @ self.basis

    def of(self, pixels: Tensor) -> Tensor:
        """Return the features of uint8 images [n, C, S, S], float32 [n, r]."""
        return torch.cat([self._of_chunk(chunk) for chunk in pixels.split(CHUNK)])

    def _of_chunk(self, pixels: Tensor) -> Tensor:
        images = [self.real.normalise(pixels)] * len(self.members)
        return self._join(self.nets.map(self.nets.constant_features, self.members, images))


def pool_features(
    nets: Networks, real: RealImages, pixels: Tensor, labels: Tensor, seed: int
) -> PoolFeatures:
    """Compute the features of a pool of uint8 images [n, C, S, S] with labels int64 [n]."""
    joint = JointFeatures(nets, real, seed)
    num_classes = int(labels.max()) + 1
    targets = regression.targets(joint.labels, num_classes)
    return PoolFeatures(
        joint.of(pixels),
        regression.targets(labels, num_classes).to(targets.device),
        joint.of_real.t() @ joint.of_real,
        joint.of_real.t() @ targets,
    )


def _networks(nets: Networks, real: RealImages, rng: np.random.Generator) -> list[ConvNet]:
    """Return the networks whose features are joined."""
    members = [nets.build(FIRST_SEED + number) for number in range(UNTRAINED)]
    net = nets.build(FIRST_SEED + UNTRAINED)
    optimizer = networks.sgd(net, LR)
    trained = TRAINED_STEPS if nets.compiled else TRAINED_STEPS[:1]
    for step in range(1, max(trained) + 1):
        images, labels = real.draw(REAL_BATCH, rng)
        nets.train(net, optimizer, [(nets.augment(images), labels)])
        if step in trained:
            members.append(networks.frozen(net))
    return members


def trained_network(nets: Networks, real: RealImages, seed: int) -> ConvNet:
    """Return the last of the networks, trained on real images."""
    return _networks(nets, real, np.random.default_rng([seed, FIRST_SEED]))[-1]
