"""The output of decoders: float images in [0, 255] with the dataset's size and channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Converts latents [n, c, h, w] to pixels in [0, 255], float32 [n, channels, size, size].
Decoder = Callable[[Tensor], Tensor]
# Luma weights of ITU-R BT.601, which PIL also uses to convert colour to grey.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class OutputSpec:
    """The images that a decoder produces.

    Attributes:
        size: height and width in pixels.
        channels: 1 for grey, 3 for colour.
        border: pixels to crop from each side of the model's images before resizing.
    """

    size: int
    channels: int
    border: int = 0


def to_uint8(images: Tensor) -> Tensor:
    """Round float images of any shape to uint8, and clamp them to [0, 255]."""
    return images.round().clamp(0, 255).to(torch.uint8)


def to_size(images: Tensor, size: int, channels: int) -> Tensor:
    """Convert float [n, 3, h, w] to [n, channels, size, size], with ITU-R BT.601 for grey."""
    if channels == 1:
        # Numbers, unlike a tensor of them, are not copied to a GPU, which would wait.
        red, green, blue = (
            weight * part for weight, part in zip(LUMA, images.split(1, 1), strict=True)
        )
        images = red + green + blue
    return resize(images, size)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize float [n, c, h, w] to [n, c, size, size] with antialiased bicubic interpolation."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False)
