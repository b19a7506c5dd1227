"""Microbatches: gradients of a batch, summed over parts that stay in a CPU's caches.

On two CPU cores the plain way spends most of its time on moving activations to and from memory:
those of 256 images in the first block of convnet3 take 134 MB. Where no image of a batch influences
another, the gradient of the batch is the sum of the gradients of its microbatches, up to rounding.
``make bench`` measures the difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters.scoring.students import ConvNet

# Images. On two machines 8 and 16 were equally fast, 4 and 32 slower.
MICROBATCH_SIZE = 8
# 8 was a tenth to a sixth slower; 32 a third slower on one machine, equal on another.
COMPILED_MICROBATCH_SIZE = 16
# Label of images that only fill up a microbatch; `torch.nn.functional.cross_entropy` ignores it.
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
    """Return whether microbatches are possible and pay: the student has convolutions."""
    has_convolutions = any(isinstance(layer, nn.Conv2d) for layer in student.modules())
    return has_convolutions and is_batch_independent(student)


def is_batch_independent(student: nn.Module) -> bool:
    """Return whether no image of a batch influences another.

    That is only known of plain stacks of known layers; of others it returns False.
    """
    layers = [
        layer for layer in student.modules() if not isinstance(layer, nn.Sequential | ConvNet)
    ]
    return isinstance(student, ConvNet) and all(
        isinstance(layer, BATCH_INDEPENDENT_LAYERS) for layer in layers
    )


def compiled_microbatch_size(batch_size: int) -> int:
    """Return about `COMPILED_MICROBATCH_SIZE`, such that a batch fills its microbatches."""
    count = max(1, round(batch_size / COMPILED_MICROBATCH_SIZE))
    return math.ceil(batch_size / count)


def microbatches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Split images float32 [n, C, H, W] and labels int64 [n] into microbatches of ``size`` images.

    All have one shape, so that it is compiled once: the last is filled up with images of the label
    `IGNORED_LABEL`. A batch that is no larger than ``size`` stays as it is.
    """
    if len(labels) <= size:
        yield images, labels
        return
    missing = -len(labels) % size
    if missing:
        images = torch.cat([images, images[:missing]])
        labels = F.pad(labels, (0, missing), value=IGNORED_LABEL)
    for part, classes in zip(images.split(size), labels.split(size), strict=True):
        yield part.contiguous(memory_format=torch.channels_last), classes
