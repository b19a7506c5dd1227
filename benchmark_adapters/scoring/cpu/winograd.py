"""Convolutions of 3x3 by fewer multiplications, as matrix products that a CPU does at its full speed.

A tile of 4x4 outputs takes 36 multiplications per pair of channels instead of 144: Winograd's way, F(4x4, 3x3) of Lavin & Gray
(arXiv 1509.09308, section 4). The transforms of inputs, weights and outputs are matrix products themselves, so torch's own products
do all the work, and `torch.compile` fuses the copies between them with the layers around. The result's rounding error is 2 to 3
times that of a direct convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 3  # of a filter
OUT = 4  # side of a tile of outputs
IN = OUT + SIDE - 1  # side of the tile of inputs that it depends on
FEW = 8  # input channels for which the transforms would cost more than they save


def _transforms(points: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """The transforms [36, 36] of inputs, [36, 9] of weights and [16, 36] of outputs, for flattened tiles.

    Convolution is the transpose of multiplying polynomials: their values at ``points``, and at infinity, are multiplied, and the
    product is interpolated: Toom and Cook's way, from which Winograd's short convolutions come.
    """
    inputs, weights, outputs = np.zeros((IN, IN)), np.zeros((IN, SIDE)), np.zeros((OUT, IN))
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        inputs[row, :-1] = np.poly(others)[::-1] / np.prod([point - other for other in others])
        weights[row], outputs[:, row] = point ** np.arange(SIDE), point ** np.arange(OUT)
    inputs[-1] = np.poly(points)[::-1]
    weights[-1, -1] = outputs[-1, -1] = 1
    for_inputs, for_weights, for_outputs = (
        torch.from_numpy(np.kron(matrix, matrix)).float() for matrix in (inputs, weights, outputs)
    )
    return for_inputs, for_weights, for_outputs


# The paper's points 0, 1, -1, 2, -2 make the transforms sparse, which dense products don't need. These round off half as much
# (Barabasz et al., arXiv 1803.10986, on how points decide that).
INPUTS, WEIGHTS, OUTPUTS = _transforms((0, 3 / 4, -3 / 4, 3 / 2, -3 / 2))


def convolve(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """``layer(images)``, float32 [n, C, H, W] on a CPU, in the fastest way that this layer allows."""
    height, width = images.shape[2:]
    if (
        layer.kernel_size != (SIDE, SIDE)
        or isinstance(layer.padding, str)
        or layer.stride != (1, 1)
        or layer.dilation != (1, 1)
        or layer.groups != 1
        or layer.padding_mode != "zeros"
    ):
        return layer(images)
    if layer.in_channels < FEW and not images.requires_grad:
        result = _by_columns(images, layer)
    elif layer.padding == (1, 1) and height % OUT == 0 and width % OUT == 0:
        result = _Winograd.apply(images.permute(0, 2, 3, 1), layer.weight)
    else:
        return layer(images)
    return (result if layer.bias is None else result + layer.bias).permute(0, 3, 1, 2)


def _by_columns(images: Tensor, layer: nn.Conv2d) -> Tensor:
    """[n, H, W, outputs] as a product with a row of inputs for each pixel: few channels leave a direct convolution's units idle.

    One product for each image, since a single one for the gradient of the weights is a long sum that cores don't share.
    """
    down, right = (int(border) for border in layer.padding)
    windows = F.pad(images, (right, right, down, down)).unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    count, channels, height, width = windows.shape[:4]
    columns = windows.permute(0, 2, 3, 1, 4, 5).reshape(count, height * width, channels * SIDE**2)
    filters = layer.weight.reshape(len(layer.weight), -1).t()
    return torch.bmm(columns, filters.expand(count, *filters.shape)).view(count, height, width, -1)


class _Winograd(torch.autograd.Function):
    """Convolution with a border of one zero: images [n, H, W, inputs], sides divisible by `OUT`; weight [outputs, inputs, 3, 3]."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        result, transformed = _forward(images, weight)
        ctx.save_for_backward(transformed, weight)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        transformed, weight = ctx.saved_tensors
        outputs, inputs = weight.shape[:2]
        of_images, _ = _forward(gradient, weight.flip(2, 3).transpose(0, 1))
        of_products = (OUTPUTS.t() @ _blocks(gradient)).view(IN * IN, -1, outputs)
        of_weights = torch.bmm(transformed.transpose(1, 2), of_products).view(IN * IN, -1)
        return of_images, (WEIGHTS.t() @ of_weights).view(SIDE, SIDE, inputs, outputs).permute(
            3, 2, 0, 1
        )


def _forward(images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The convolution [n, H, W, outputs], and the transformed inputs [36, tiles, inputs]."""
    count, height, width, inputs = images.shape
    outputs = len(weight)
    transformed = (INPUTS @ _tiles(images)).view(IN * IN, -1, inputs)
    filters = (WEIGHTS @ weight.permute(2, 3, 1, 0).reshape(SIDE**2, -1)).view(
        IN * IN, inputs, outputs
    )
    products = torch.bmm(transformed, filters).view(IN * IN, -1)
    result = (OUTPUTS @ products).view(OUT, OUT, count, height // OUT, width // OUT, outputs)
    return result.permute(2, 3, 0, 4, 1, 5).reshape(count, height, width, outputs), transformed


def _tiles(images: Tensor) -> Tensor:
    """[n, H, W, C] to [36, tiles * C]: overlapping tiles of inputs, a row for each of their pixels."""
    padded = F.pad(images, (0, 0, 1, 1, 1, 1))
    return (
        padded.unfold(1, IN, OUT).unfold(2, IN, OUT).permute(4, 5, 0, 1, 2, 3).reshape(IN * IN, -1)
    )


def _blocks(images: Tensor) -> Tensor:
    """[n, H, W, C] to [16, tiles * C]: tiles of outputs, which don't overlap."""
    count, height, width, channels = images.shape
    return (
        images.reshape(count, height // OUT, OUT, width // OUT, OUT, channels)
        .permute(2, 4, 0, 1, 3, 5)
        .reshape(OUT * OUT, -1)
    )
