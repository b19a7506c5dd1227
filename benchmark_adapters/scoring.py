"""The score of a distilled set: fixed students trained on it, tested on all real test images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from benchmark_adapters import training
from benchmark_adapters.types import Dataset, DistilledSet, Recipe, Student

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


@dataclass(frozen=True)
class Score:
    """Final accuracies, fractions, one for each seed; ``confusion`` counts [true][predicted] over all of them."""

    accuracies: list[float]
    confusion: list[list[int]]


def score(
    distilled: DistilledSet,
    test: tuple[Array, Array],
    dataset: Dataset,
    recipe: Recipe,
    student: Student,
    seeds: Sequence[int],
    device: str,
    report: Callable[[int, int, int], None],
) -> Score:
    """Trains a new student for each seed and tests it after its last epoch.

    ``report`` hears (index of the seed, done, total).
    """
    images, labels = training.normalise(distilled.images, dataset), torch.from_numpy(distilled.labels)
    test_images, test_labels = training.normalise(test[0], dataset), torch.from_numpy(test[1])
    width = recipe.width if student.name == recipe.student else None
    classes = dataset.num_classes
    accuracies, confusion = [], torch.zeros(classes * classes, dtype=torch.int64)
    for index, seed in enumerate(seeds):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = student.build(classes, dataset.image_size, dataset.channels, width)
        training.train(net, images, labels, recipe, seed, device, report=partial(report, index))
        predicted = training.predict(net, test_images)
        accuracies.append((predicted == test_labels).double().mean().item())
        confusion += torch.bincount(test_labels * classes + predicted, minlength=classes * classes)
    return Score(accuracies, confusion.view(classes, classes).tolist())
