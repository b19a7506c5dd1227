"""The students that ship: name, builder and summary of each. Cheap to import: no torch."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmark_adapters.types import Student

if TYPE_CHECKING:
    from torch import nn


def _builder(function: str) -> Callable[[int, int, int, int | None], nn.Module]:
    """Return a function of `benchmark_adapters.scoring.students` that is imported when called."""

    def build(num_classes: int, image_size: int, channels: int, width: int | None) -> nn.Module:
        target = pkgutil.resolve_name(f"benchmark_adapters.scoring.students:{function}")
        return target(num_classes, image_size, channels, width)

    return build


_STUDENTS = (
    Student(
        "convnet3",
        _builder("convnet3"),
        "3 blocks of convolution, instance norm, ReLU and pooling, as in the ECCV 2024 challenge",
    ),
    Student("convnet4", _builder("convnet4"), "the same with 4 blocks"),
    Student("convnet3-bn", _builder("convnet3_bn"), "convnet3 with batch norm"),
    Student("resnet18", _builder("resnet18"), "ResNet-18 with the stem for small images"),
    Student("alexnet", _builder("alexnet"), "the small AlexNet of the condensation papers"),
    Student("vgg11", _builder("vgg11"), "VGG-11 with batch norm and one linear layer"),
    Student("mlp", _builder("mlp"), "two hidden layers"),
)
STUDENTS = {student.name: student for student in _STUDENTS}
