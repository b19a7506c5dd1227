"""3x3 convolutions with fewer multiplications, written as matrix products that suit a CPU.

A tile of 4x4 outputs takes 36 multiplications per pair of channels instead of 144. This is
Winograd's F(4x4, 3x3) from Lavin & Gray (arXiv 1509.09308, section 4). The transforms of inputs,
weights and outputs are matrix products too, so torch's own kernels do all the work, and
`torch.compile` fuses the copies between them with the surrounding layers. The rounding error is 2
to 3 times that of a direct convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters.scoring.students import ConvNet

FILTER_SIDE = 3
# Side length of a tile of outputs, and of the tile of inputs that it depends on.
OUTPUT_SIDE = 4
INPUT_SIDE = OUTPUT_SIDE + FILTER_SIDE - 1
# With fewer input channels the transforms would cost more than they save.
MIN_CHANNELS = 8


def _transforms(points: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the transforms of inputs [36, 36], of weights [36, 9] and of outputs [16, 36].

    They apply to flattened tiles. Convolution is the transpose of polynomial multiplication, which
    multiplies the values of the polynomials at ``points`` and at infinity, then interpolates the
    product. This is the Toom-Cook algorithm, from which Winograd's short convolutions are derived.
    """
    inputs = np.zeros((INPUT_SIDE, INPUT_SIDE))
    weights = np.zeros((INPUT_SIDE, FILTER_SIDE))
    outputs = np.zeros((OUTPUT_SIDE, INPUT_SIDE))
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        inputs[row, :-1] = np.poly(others)[::-1] / np.prod([point - other for other in others])
        weights[row] = point ** np.arange(FILTER_SIDE)
        outputs[:, row] = point ** np.arange(OUTPUT_SIDE)
    inputs[-1] = np.poly(points)[::-1]
    weights[-1, -1] = outputs[-1, -1] = 1
    of_inputs, of_weights, of_outputs = (
        torch.from_numpy(np.kron(matrix, matrix)).float() for matrix in (inputs, weights, outputs)
    )
    return of_inputs, of_weights, of_outputs


# The paper's points 0, 1, -1, 2, -2 make the transforms sparse, which doesn't help dense products.
# These points halve the rounding error (Barabasz et al., arXiv 1803.10986).
INPUTS, WEIGHTS, OUTPUTS = _transforms((0, 3 / 4, -3 / 4, 3 / 2, -3 / 2))


def is_faster(student: nn.Module) -> bool:
    """Return whether `logits` can replace any of the student's convolutions."""
    return isinstance(student, ConvNet) and any(
        isinstance(layer, nn.Conv2d) and _is_supported(layer) for layer in student.features
    )


def logits(student: ConvNet, images: Tensor) -> Tensor:
    """Return ``student(images)``, with each convolution computed by `convolve`.

    Args:
        student: a network with ``features`` and ``classifier``.
        images: float32 [n, C, H, W] on a CPU.
    """
    return student.classifier(features(student, images))


def features(student: ConvNet, images: Tensor) -> Tensor:
    """Return the inputs of the student's classifier, float32 [n, d].

    The arguments are as in `logits`.
    """
    for layer in student.features:
        images = convolve(layer, images) if isinstance(layer, nn.Conv2d) else layer(images)
    return images.flatten(1)


def convolve(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """Return ``layer(images)``, computed by the fastest algorithm that supports the layer.

    ``images`` are float32 [n, C, H, W] on a CPU.
    """
    height, width = images.shape[2:]
    if not _is_supported(layer):
        return layer(images)
    if layer.in_channels < MIN_CHANNELS:
        result = _matrix_product(images, layer)
    elif layer.padding == (1, 1) and height % OUTPUT_SIDE == 0 and width % OUTPUT_SIDE == 0:
        result = _Winograd.apply(images.permute(0, 2, 3, 1), layer.weight)
    else:
        return layer(images)
    return (result if layer.bias is None else result + layer.bias).permute(0, 3, 1, 2)


def _is_supported(layer: nn.Conv2d) -> bool:
    return (
        layer.kernel_size == (FILTER_SIDE, FILTER_SIDE)
        and not isinstance(layer.padding, str)
        and layer.stride == (1, 1)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )


def _matrix_product(images: Tensor, layer: nn.Conv2d) -> Tensor:
    """Compute the convolution [n, H, W, outputs] as a product with one row of inputs per pixel.

    With few channels, a direct convolution leaves the CPU's vector units idle.
    """
    down, right = (int(border) for border in layer.padding)
    windows = _windows(F.pad(images, (right, right, down, down)))
    count, channels, height, width = windows.shape[:4]
    columns = windows.permute(0, 2, 3, 1, 4, 5).reshape(
        count, height * width, channels * FILTER_SIDE**2
    )
    filters = layer.weight.reshape(len(layer.weight), -1).t()
    # Each image has its own product. With a single product, the gradient of the weights would be
    # one long sum, which is not divided among the cores.
    return torch.bmm(columns, filters.expand(count, *filters.shape)).view(count, height, width, -1)


def _windows(images: Tensor) -> Tensor:
    """Return the 3x3 window around each inner pixel of [n, C, H, W]: [n, C, H - 2, W - 2, 3, 3]."""
    if not images.requires_grad:
        return images.unfold(2, FILTER_SIDE, 1).unfold(3, FILTER_SIDE, 1)
    # The gradient of overlapping views is slow. That of slices is a sum, which a compiler fuses.
    height, width = (side - FILTER_SIDE + 1 for side in images.shape[2:])
    shifts = range(FILTER_SIDE)
    slices = [
        images[:, :, down : down + height, right : right + width]
        for down in shifts
        for right in shifts
    ]
    return torch.stack(slices, -1).unflatten(-1, (FILTER_SIDE, FILTER_SIDE))


class _Winograd(torch.autograd.Function):
    """Convolution with a zero padding of 1.

    Images are [n, H, W, inputs], with H and W divisible by `OUTPUT_SIDE`. The weight is
    [outputs, inputs, 3, 3].
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        result, transformed = _forward(images, weight)
        ctx.save_for_backward(transformed, weight)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        transformed, weight = ctx.saved_tensors
        outputs, inputs = weight.shape[:2]
        for_images, _ = _forward(gradient, weight.flip(2, 3).transpose(0, 1))
        of_products = (OUTPUTS.t() @ _blocks(gradient)).view(INPUT_SIDE**2, -1, outputs)
        of_weights = torch.bmm(transformed.transpose(1, 2), of_products).view(INPUT_SIDE**2, -1)
        return for_images, (WEIGHTS.t() @ of_weights).view(
            FILTER_SIDE, FILTER_SIDE, inputs, outputs
        ).permute(3, 2, 0, 1)


def _forward(images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the convolution [n, H, W, outputs] and the transformed inputs [36, tiles, inputs]."""
    count, height, width, inputs = images.shape
    outputs = len(weight)
    transformed = (INPUTS @ _tiles(images)).view(INPUT_SIDE**2, -1, inputs)
    filters = (WEIGHTS @ weight.permute(2, 3, 1, 0).reshape(FILTER_SIDE**2, -1)).view(
        INPUT_SIDE**2, inputs, outputs
    )
    products = torch.bmm(transformed, filters).view(INPUT_SIDE**2, -1)
    result = (OUTPUTS @ products).view(
        OUTPUT_SIDE, OUTPUT_SIDE, count, height // OUTPUT_SIDE, width // OUTPUT_SIDE, outputs
    )
    return result.permute(2, 3, 0, 4, 1, 5).reshape(count, height, width, outputs), transformed


def _tiles(images: Tensor) -> Tensor:
    """Cut [n, H, W, C] into overlapping tiles of inputs [36, tiles * C], with one row per pixel."""
    padded = F.pad(images, (0, 0, 1, 1, 1, 1))
    return (
        padded.unfold(1, INPUT_SIDE, OUTPUT_SIDE)
        .unfold(2, INPUT_SIDE, OUTPUT_SIDE)
        .permute(4, 5, 0, 1, 2, 3)
        .reshape(INPUT_SIDE**2, -1)
    )


def _blocks(images: Tensor) -> Tensor:
    """Cut [n, H, W, C] into tiles of outputs [16, tiles * C], which don't overlap."""
    count, height, width, channels = images.shape
    return (
        images.reshape(
            count, height // OUTPUT_SIDE, OUTPUT_SIDE, width // OUTPUT_SIDE, OUTPUT_SIDE, channels
        )
        .permute(2, 4, 0, 1, 3, 5)
        .reshape(OUTPUT_SIDE**2, -1)
    )
