"""Differentiable Siamese Augmentation (Zhao & Bilen, arXiv 2102.08259).

It follows the ECCV 2024 evaluator. Images are float32 [n, C, H, W], normalised. Results have the
same shape. Every random number comes from torch's global CPU generator, in the evaluator's order,
so equal random states produce equal images on every device.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

STRATEGY = "color_crop_cutout_flip_scale_rotate"


def augment(images: Tensor, strategy: str = STRATEGY, align_corners: bool = False) -> Tensor:
    """Apply one random family to the images, with parameters drawn for each image.

    ``strategy`` lists the names of the families, joined by ``_``. ``align_corners`` applies to
    scale and rotate.

    Raises:
        ValueError: the strategy names an unknown family.
    """
    names = strategy.split("_")
    unknown = set(names) - set(FAMILIES)
    if unknown:
        raise ValueError(f"unknown DSA families {sorted(unknown)}; known: {', '.join(FAMILIES)}")
    name = names[int(torch.randint(len(names), (1,)))]
    if name in ("scale", "rotate"):
        return FAMILIES[name](images, align_corners=align_corners)
    return FAMILIES[name](images)


def color(images: Tensor) -> Tensor:
    """Change brightness, saturation and contrast, each with its own uniform u in [0, 1).

    Brightness is x + (u - 0.5), saturation (x - m_c) * 2u + m_c, contrast (x - m) * (u + 0.5) + m.
    Here m_c is the mean over channels at each pixel, and m is the mean of the image.
    """
    images = images + (_uniform(images) - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (2 * _uniform(images)) + grey
    level = images.mean((1, 2, 3), keepdim=True)
    return (images - level) * (_uniform(images) + 0.5) + level


def crop(images: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift images by up to ``ratio`` of each side, filling with zeros."""
    height, width = images.shape[2:]
    down, right = int(height * ratio + 0.5), int(width * ratio + 0.5)
    shift_y = _on_device_of(images, torch.randint(-down, down + 1, (len(images), 1, 1)))
    shift_x = _on_device_of(images, torch.randint(-right, right + 1, (len(images), 1, 1)))
    padded = F.pad(images, (right, right, down, down))
    rows = torch.arange(height, device=images.device)[None, :, None] + shift_y + down
    columns = torch.arange(width, device=images.device)[None, None, :] + shift_x + right
    each = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, rows, columns].permute(0, 3, 1, 2)


def cutout(images: Tensor, ratio: float = 0.5) -> Tensor:
    """Set a rectangle with ``ratio`` times the sides of the image to 0.

    Its centre can be anywhere in the image, so the image border may clip it.
    """
    inside = []
    for size in images.shape[2:]:
        length = int(size * ratio + 0.5)
        centre = _on_device_of(images, torch.randint(size + (1 - length % 2), (len(images), 1)))
        position = torch.arange(size, device=images.device)[None, :] - (centre - length // 2)
        inside.append((position >= 0) & (position < length))
    return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def flip(images: Tensor) -> Tensor:
    """Mirror each image horizontally with probability 0.5."""
    return torch.where(_uniform(images) < 0.5, images.flip(3), images)


def scale(images: Tensor, ratio: float = 1.2, align_corners: bool = False) -> Tensor:
    """Multiply the sampling coordinates by factors from 1 / ``ratio`` to ``ratio``.

    The factors for x and y are drawn independently.
    """
    x, y = (torch.rand(len(images)) * (ratio - 1 / ratio) + 1 / ratio for _ in range(2))
    zero = torch.zeros_like(x)
    return _affine(images, torch.stack([x, zero, zero, zero, y, zero], 1), align_corners)


def rotate(images: Tensor, degrees: float = 15.0, align_corners: bool = False) -> Tensor:
    """Rotate images by up to ``degrees`` in either direction."""
    angle = (torch.rand(len(images)) - 0.5) * 2 * degrees / 180 * math.pi
    zero, sin, cos = torch.zeros_like(angle), angle.sin(), angle.cos()
    return _affine(images, torch.stack([cos, -sin, zero, sin, cos, zero], 1), align_corners)


def _affine(images: Tensor, matrices: Tensor, align_corners: bool) -> Tensor:
    """Sample bilinearly, with zeros outside the images; ``matrices`` are [n, 6]."""
    grid = F.affine_grid(
        _on_device_of(images, matrices.view(-1, 2, 3)),
        list(images.shape),
        align_corners=align_corners,
    )
    return F.grid_sample(images, grid, align_corners=align_corners)


def _uniform(images: Tensor) -> Tensor:
    return _on_device_of(images, torch.rand(len(images), 1, 1, 1))


def _on_device_of(images: Tensor, values: Tensor) -> Tensor:
    """Return ``values`` on the device of ``images``."""
    # Copying from pinned memory doesn't wait for the GPU.
    if images.device.type == "cuda":
        return values.pin_memory().to(images.device, non_blocking=True)
    return values.to(images.device)


FAMILIES: dict[str, Callable[..., Tensor]] = {
    "color": color,
    "crop": crop,
    "cutout": cutout,
    "flip": flip,
    "scale": scale,
    "rotate": rotate,
}
