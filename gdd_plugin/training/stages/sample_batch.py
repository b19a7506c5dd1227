"""The batches that the student's losses compare: samples and real images of the same classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gdd_plugin.training.data import RealImages
from gdd_plugin.training.networks import FeatureNetwork


@dataclass(frozen=True)
class SampleBatch:
    """The same number of samples or real images of each class, class by class.

    Attributes:
        latents: [n, c, h, w]; None for real images without latents.
        pictures: [n, C, S, S] around [-1, 1].
        labels: [n].
        layers: outputs of the feature network's layers.
        logits: outputs of the feature network's classifier, [n, classes].
    """

    latents: Tensor | None
    pictures: Tensor
    labels: Tensor
    layers: list[Tensor]
    logits: Tensor


@torch.no_grad()
def draw_real(
    features: FeatureNetwork, images: RealImages, classes: Sequence[int], count: int
) -> SampleBatch:
    """Draw ``count`` real images of each class."""
    indices = images.draw(classes, count)
    pictures = images.pictures(indices)
    latents = None if images.latents is None else images.latents[indices].to(images.device)
    labels = images.labels[indices].to(images.device)
    return SampleBatch(latents, pictures, labels, *features(pictures))
