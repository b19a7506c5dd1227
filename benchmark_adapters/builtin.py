"""Built-in components, registered through the same hooks as the components of plugins.

The method generative-turbo is registered by a separate plugin, `gdd_plugin.plugin`.
"""

from __future__ import annotations

from benchmark_adapters import hookimpl
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.formats import FORMATS
from benchmark_adapters.scoring.recipes import RECIPES
from benchmark_adapters.scoring.student_registry import STUDENTS
from benchmark_adapters.tracks import TRACKS
from benchmark_adapters.types import Dataset, Format, Method, Recipe, Student, Track

CORESET = "benchmark_adapters.baselines.coreset"


@hookimpl
def ddbench_methods() -> list[Method]:
    return [
        Method(
            "random-real",
            f"{CORESET}:random_real",
            summary="real training images drawn at random",
        ),
        Method(
            "herding",
            f"{CORESET}:herding",
            summary="real training images whose mean stays close to the class mean in feature "
            "space (Welling, 2009)",
        ),
        Method(
            "kmeans",
            f"{CORESET}:kmeans",
            summary="real training images nearest to the k-means centres in feature space",
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


@hookimpl
def ddbench_students() -> list[Student]:
    return list(STUDENTS.values())
