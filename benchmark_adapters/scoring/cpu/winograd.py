"""3x3 convolutions with fewer multiplications, written as operations that suit a CPU.

A tile of 4x4 outputs takes 36 multiplications per pair of channels instead of 144. This is
Winograd's F(4x4, 3x3) from Lavin & Gray (arXiv 1509.09308, section 4). The transforms of images are
sums of slices, which `torch.compile` fuses with each other. The products between them are left to
a kernel of torch. The rounding error is 2 to 3 times that of a direct convolution.
"""

from __future__ import annotations

import functools
import operator
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

Matrix = list[list[float]]


def _transforms(points: Sequence[float]) -> tuple[Matrix, Matrix, Matrix]:
    """Return the transforms of inputs [6, 6], of weights [6, 3] and of outputs [4, 6].

    They apply along the rows and the columns of tiles. Convolution is the transpose of polynomial
    multiplication, which multiplies the values of the polynomials at ``points`` and at infinity,
    then interpolates the product. This is the Toom-Cook algorithm, from which Winograd's short
    convolutions are derived.
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
    return inputs.tolist(), weights.tolist(), outputs.tolist()


# The paper's points are 0, 1, -1, 2, -2. These halve the rounding error (Barabasz et al.,
# arXiv 1803.10986), and leave as many zeros in the transforms.
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
    for layer in student.features:
        images = convolve(layer, images) if isinstance(layer, nn.Conv2d) else layer(images)
    return student.classifier(images.flatten(1))


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
        tiles = _input_tiles(images)
        ctx.save_for_backward(tiles, weight)
        return _convolved(tiles, weight, images.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        tiles, weight = ctx.saved_tensors
        flipped = weight.flip(2, 3).transpose(0, 1)
        for_images = _convolved(_input_tiles(gradient), flipped, gradient.shape)
        of_products = torch.bmm(tiles.permute(1, 2, 0), _output_tiles(gradient))
        for_weight = _along_rows_and_columns(
            _transposed(WEIGHTS), of_products.unflatten(0, (INPUT_SIDE, INPUT_SIDE))
        )
        return for_images, for_weight.permute(3, 2, 0, 1)


def _convolved(tiles: Tensor, weight: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the convolution [n, H, W, outputs].

    Args:
        tiles: `_input_tiles` of images [n, H, W, inputs].
        weight: [outputs, inputs, 3, 3].
        shape: [n, H, W, ...].
    """
    filters = _along_rows_and_columns(WEIGHTS, weight.permute(2, 3, 0, 1)).flatten(0, 1)
    products = _products(tiles, filters.contiguous())
    count, height, width = shape[:3]
    # [n, tiles down, tiles to the right, rows of a tile, columns of a tile, outputs].
    grid = (count, height // OUTPUT_SIDE, width // OUTPUT_SIDE, INPUT_SIDE, INPUT_SIDE, len(weight))
    products = products.view(grid)
    rows = torch.stack(_weighted(OUTPUTS, products.unbind(3)), 2)
    return torch.stack(_weighted(OUTPUTS, rows.unbind(4)), 4).reshape(
        count, height, width, len(weight)
    )


@torch.library.custom_op("ddbench::products", mutates_args=())
def _products(tiles: Tensor, filters: Tensor) -> Tensor:
    """Multiply each value of a tile with its own matrix.

    Batched matrix products mean the same, but on CPUs of AMD a convolution of oneDNN takes about
    half the time.

    Args:
        tiles: [tiles, 36, inputs], contiguous.
        filters: [36, outputs, inputs], contiguous.

    Returns:
        [tiles, 36, outputs].
    """
    count, values, inputs = tiles.shape
    outputs = filters.shape[1]
    if not torch.backends.mkldnn.is_available():
        return torch.einsum("tvi,voi->tvo", tiles, filters)
    # One picture with a pixel for each tile, in channels-last memory format.
    pixels = tiles.as_strided(
        (1, values * inputs, count, 1), (tiles.numel(), 1, values * inputs, values * inputs)
    )
    products = torch.mkldnn_convolution(
        pixels, filters.view(values * outputs, inputs, 1, 1), None, (0, 0), (1, 1), (1, 1), values
    )
    return products.permute(0, 2, 3, 1).reshape(count, values, outputs)


@_products.register_fake
def _(tiles: Tensor, filters: Tensor) -> Tensor:
    return tiles.new_empty(tiles.shape[0], tiles.shape[1], filters.shape[1])


def _input_tiles(images: Tensor) -> Tensor:
    """Transform the overlapping tiles of inputs of [n, H, W, C] to [tiles, 36, C]."""
    padded = F.pad(images, (0, 0, 1, 1, 1, 1))
    height, width = images.shape[1:3]
    rows = [padded[:, row : row + height : OUTPUT_SIDE] for row in range(INPUT_SIDE)]
    # [n, tiles down, rows of a tile, W + 2, C].
    transformed = torch.stack(_weighted(INPUTS, rows), 2)
    columns = [transformed[:, :, :, at : at + width : OUTPUT_SIDE] for at in range(INPUT_SIDE)]
    # [n, tiles down, rows of a tile, tiles to the right, columns of a tile, C].
    tiles = torch.stack(_weighted(INPUTS, columns), 4)
    return tiles.transpose(2, 3).reshape(-1, INPUT_SIDE**2, images.shape[3])


def _output_tiles(gradient: Tensor) -> Tensor:
    """Return the gradient of the products, [36, tiles, C], from that of outputs [n, H, W, C]."""
    count, height, width, channels = gradient.shape
    tiles = gradient.reshape(
        count, height // OUTPUT_SIDE, OUTPUT_SIDE, width // OUTPUT_SIDE, OUTPUT_SIDE, channels
    )
    return _along_rows_and_columns(_transposed(OUTPUTS), tiles.permute(2, 4, 0, 1, 3, 5)).reshape(
        INPUT_SIDE**2, -1, channels
    )


def _along_rows_and_columns(matrix: Matrix, tiles: Tensor) -> Tensor:
    """Transform the first two dimensions of [rows, columns, ...]."""
    rows = torch.stack(_weighted(matrix, tiles.unbind(0)))
    return torch.stack(_weighted(matrix, rows.unbind(1)), 1)


def _weighted(matrix: Matrix, parts: Sequence[Tensor]) -> list[Tensor]:
    """Return a weighted sum of the parts for each row of the matrix.

    The transforms have many zeros, which cost nothing here, as they would in a matrix product.
    """
    return [
        functools.reduce(
            operator.add,
            [part * weight for weight, part in zip(row, parts, strict=True) if weight],
        )
        for row in matrix
    ]


def _transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]
