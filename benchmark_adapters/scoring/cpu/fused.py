"""Microbatches: a batch's gradients, summed over parts that fit into a CPU's caches.

On two CPU cores, plain training spends most of its time moving activations to and from memory: the
activations of 256 images in the first block of convnet3 take 134 MB. If no image of a batch
influences another, the gradient of the batch is the sum of the gradients of its microbatches, up to
rounding. ``make bench`` measures the difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters.scoring.students import ConvNet

# Images per microbatch without a compiler. On two machines, 8 and 16 were equally fast. 4 and 32
# were slower.
MICROBATCH_SIZE = 8
# Images per microbatch with a compiler. 8 was a tenth to a sixth slower. 32 was a third slower on
# one machine and equally fast on another.
COMPILED_MICROBATCH_SIZE = 16
# Label of images that only pad a microbatch; `torch.nn.functional.cross_entropy` ignores it.
IGNORED_LABEL = -100
BATCH_INDEPENDENT_LAYERS = (
    nn.Conv2d,
    nn.GroupNorm,
    nn.ReLU,
    nn.AvgPool2d,
    nn.MaxPool2d,
    nn.Linear,
    nn.Flatten,
)


def is_faster(student: nn.Module) -> bool:
    """Return whether microbatches are possible and pay off. They only do with convolutions."""
    has_convolutions = any(isinstance(layer, nn.Conv2d) for layer in student.modules())
    return has_convolutions and is_batch_independent(student)


def is_batch_independent(student: nn.Module) -> bool:
    """Return whether no image of a batch influences another.

    This is only known for plain stacks of known layers. All other networks return False.
    """
    layers = [
        layer for layer in student.modules() if not isinstance(layer, nn.Sequential | ConvNet)
    ]
    return isinstance(student, ConvNet) and all(
        isinstance(layer, BATCH_INDEPENDENT_LAYERS) for layer in layers
    )


def compiled_microbatch_size(batch_size: int) -> int:
    """Return a size near `COMPILED_MICROBATCH_SIZE` that divides a batch almost evenly."""
    count = max(1, round(batch_size / COMPILED_MICROBATCH_SIZE))
    return math.ceil(batch_size / count)


def microbatches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Split images float32 [n, C, H, W] and labels int64 [n] into microbatches of ``size`` images.

    All microbatches have the same shape, so that only one shape is compiled: the last one is padded
    with images labelled `IGNORED_LABEL`.
    """
    missing = -len(labels) % size
    if missing:
        filled = torch.arange(len(labels) + missing, device=images.device) % len(labels)
        images = images[filled]
        labels = F.pad(labels, (0, missing), value=IGNORED_LABEL)
    yield from zip(images.split(size), labels.split(size), strict=True)
