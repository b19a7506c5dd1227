"""How close a decoder comes to the exact one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Mean squared error below which images count as equal.
MIN_ERROR = 1e-9


@dataclass(frozen=True)
class Fidelity:
    """Comparison of decoded images with exactly decoded ones.

    A PSNR is 10 log10(255^2 / mean squared error), in dB.

    Attributes:
        psnr: PSNR of all images.
        worst_image: the lowest PSNR of an image.
        by_class: PSNR of the images of each class.
        sharpness: mean absolute difference of neighbouring pixels, divided by that of exactly
            decoded images. Blurred images are below 1.
    """

    psnr: float
    worst_image: float
    by_class: list[float]
    sharpness: float

    @classmethod
    def of(cls, images: Tensor, exact: Tensor, labels: Tensor) -> Fidelity:
        """Compare images in [0, 255], both [n, C, S, S]; ``labels`` are int64 [n].

        Values that are not finite count as 0.
        """
        images, exact = (values.nan_to_num(0.0, 0.0, 0.0) for values in (images, exact))
        errors = (images - exact).square().flatten(1).mean(1).cpu()
        classes = labels.unique().tolist()
        return cls(
            _decibels(errors.mean()),
            _decibels(errors.max()),
            [_decibels(errors[labels == label].mean()) for label in classes],
            round(float(_contrast(images) / _contrast(exact).clamp_min(1e-6)), 3),
        )


def psnr(images: Tensor, exact: Tensor) -> float:
    """Return the PSNR of images in [0, 255], in dB."""
    return Fidelity.of(images, exact, torch.zeros(len(images), dtype=torch.int64)).psnr


def _decibels(error: Tensor) -> float:
    return round(10 * math.log10(255**2 / max(float(error), MIN_ERROR)), 2)


def _contrast(images: Tensor) -> Tensor:
    return images.diff(dim=-1).abs().mean() + images.diff(dim=-2).abs().mean()
