"""The matching loss: samples are distributed as real images are, in several networks' layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gdd_plugin.training.losses import energy_distance
from gdd_plugin.training.networks import FeatureNetwork
from gdd_plugin.training.stages.sample_batch import SampleBatch

PLACES = 12  # of a layer, drawn anew at each step


def matching(
    generated: SampleBatch, real: SampleBatch, classes: int, random_features: FeatureNetwork
) -> Tensor:
    """Return the sum of energy distances per class, mean over the classes.

    They are taken in logits, latents, the layers of the frozen feature network, and those of a
    random one. The frozen network sees what tells real classes apart, and is blind to what only
    samples have. The random network, drawn anew at each step, is blind to nothing for long (Zhao &
    Bilen 2023 match distributions in such networks).

    Args:
        generated: samples, with gradients.
        real: real images of the same classes.
        classes: their number.
        random_features: is drawn anew.
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
    """Return the sum over layers.

    The last two layers are compared as a whole, which is a class's composition; the first three at
    single places, which is its texture. Distances in few dimensions tell more about a distribution
    than those in thousands, which are all alike.
    """
    terms = [_distance(x, y, classes) for x, y in zip(generated[2:], real[2:], strict=True)]
    for x, y in zip(generated[:3], real[:3], strict=True):
        places = torch.randperm(x.shape[-1] * x.shape[-2])[:PLACES]
        at_places = (_select(layer, places, classes) for layer in (x, y))
        terms.append(energy_distance(*at_places).mean())
    return torch.stack(terms).sum()


def _distance(generated: Tensor, real: Tensor, classes: int) -> Tensor:
    """Return the mean energy distance of the classes, from [classes * samples, ...]."""
    groups = (x.flatten(1).unflatten(0, (classes, -1)) for x in (generated, real))
    return energy_distance(*groups).mean()


def _select(layer: Tensor, places: Tensor, classes: int) -> Tensor:
    """Convert [classes * n, c, h, w] to [classes * places, n, c]."""
    selected = layer.flatten(2)[..., places].unflatten(0, (classes, -1))
    return selected.permute(0, 3, 1, 2).flatten(0, 1)
