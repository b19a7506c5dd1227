"""The matching loss, which compares the distributions of samples and real images in features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gdd_plugin.training.losses import energy_distance
from gdd_plugin.training.networks import FeatureNetwork
from gdd_plugin.training.stages.sample_batch import SampleBatch

# Number of positions at which a layer is compared. They are redrawn at each step.
POSITIONS = 12


def matching(
    generated: SampleBatch, real: SampleBatch, classes: int, random_features: FeatureNetwork
) -> Tensor:
    """Return the sum of the energy distances of each class, averaged over the classes.

    The distances are measured in the logits, the latents, the layers of the frozen feature network
    and the layers of a random network. The frozen network sees what distinguishes real classes, but
    it is blind to artefacts that only samples have. The random network is redrawn at each step, so
    it is not blind to anything for long. Zhao & Bilen 2023 match distributions in such networks.

    Args:
        generated: samples, with gradients.
        real: real images of the same classes.
        classes: number of classes in each batch.
        random_features: the random network, which is redrawn by this call.
    """
    random_features.randomize()
    with torch.no_grad():
        real_layers = random_features(real.pictures)[0]
    total = _distance(generated.logits, real.logits, classes)
    if generated.latents is not None and real.latents is not None:
        total = total + _distance(generated.latents, real.latents, classes)
    return (
        total
        + _layer_distances(generated.layers, real.layers, classes)
        + _layer_distances(random_features(generated.pictures)[0], real_layers, classes)
    )


def _layer_distances(generated: Sequence[Tensor], real: Sequence[Tensor], classes: int) -> Tensor:
    """Return the sum of the energy distances over the layers.

    The last two layers are compared as a whole, which captures the composition of a class. The
    first three are compared at single positions, which captures its texture. Distances in few
    dimensions reveal more about a distribution than those in thousands, which are all similar.
    """
    terms = [_distance(x, y, classes) for x, y in zip(generated[2:], real[2:], strict=True)]
    for x, y in zip(generated[:3], real[:3], strict=True):
        positions = torch.randperm(x.shape[-1] * x.shape[-2])[:POSITIONS]
        at_positions = (_select(layer, positions, classes) for layer in (x, y))
        terms.append(energy_distance(*at_positions).mean())
    return torch.stack(terms).sum()


def _distance(generated: Tensor, real: Tensor, classes: int) -> Tensor:
    """Return the energy distance averaged over the classes, from [classes * samples, ...]."""
    groups = (x.flatten(1).unflatten(0, (classes, -1)) for x in (generated, real))
    return energy_distance(*groups).mean()


def _select(layer: Tensor, positions: Tensor, classes: int) -> Tensor:
    """Convert [classes * n, c, h, w] to [classes * positions, n, c]."""
    selected = layer.flatten(2)[..., positions].unflatten(0, (classes, -1))
    return selected.permute(0, 3, 1, 2).flatten(0, 1)
