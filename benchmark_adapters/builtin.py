"""What ships, by the same hooks as a stranger's. The method generative-turbo has a plug-in of its own, `gdd_plugin`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmark_adapters import hookimpl
from benchmark_adapters.baselines.coreset import herding, kmeans, random_real
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.formats import FORMATS
from benchmark_adapters.scoring.recipes import RECIPES
from benchmark_adapters.tracks import TRACKS
from benchmark_adapters.types import Dataset, Format, Method, Recipe, Student, Track

if TYPE_CHECKING:
    from torch import nn


@hookimpl
def ddbench_methods() -> list[Method]:
    return [
        Method("random-real", random_real, summary="real training images, drawn at random"),
        Method(
            "herding",
            herding,
            summary="real training images that keep their class's mean in feature space (Welling, 2009)",
        ),
        Method(
            "kmeans",
            kmeans,
            summary="real training images nearest to the centres of k-means in feature space",
        ),
    ]


@hookimpl
def ddbench_datasets() -> list[Dataset]:
    return [FASHION_MNIST, CIFAR10, CIFAR100, TINY_IMAGENET]


@hookimpl
def ddbench_formats() -> list[Format]:
    return list(FORMATS)


@hookimpl
def ddbench_tracks() -> list[Track]:
    return list(TRACKS)


@hookimpl
def ddbench_recipes() -> list[Recipe]:
    return list(RECIPES.values())


STUDENTS = {
    "convnet3": "3 blocks of convolution, instance norm, ReLU and pooling, as in the ECCV 2024 challenge",
    "convnet4": "the same with 4 blocks",
    "convnet3-bn": "convnet3 with batch norm",
    "resnet18": "ResNet-18 with the stem for small images",
    "alexnet": "the small AlexNet of the condensation papers",
    "vgg11": "VGG-11 with batch norm and one linear layer",
    "mlp": "two hidden layers",
}


@hookimpl
def ddbench_students() -> list[Student]:
    return [Student(name, partial(_build, name), summary) for name, summary in STUDENTS.items()]


def _build(
    name: str, num_classes: int, image_size: int, channels: int, width: int | None
) -> nn.Module:
    from benchmark_adapters.scoring.students import build  # imports torch

    return build(name, num_classes, image_size, channels, width)
