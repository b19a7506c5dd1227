"""The score of a distilled set: fixed students trained on it, tested on all real test images."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark_adapters import datasets
from benchmark_adapters.scoring import training
from benchmark_adapters.scoring.seed_cache import Kept, Result
from benchmark_adapters.types import Dataset, DistilledSet, Recipe, Student

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


def score(
    distilled: DistilledSet,
    test: tuple[Array, Array],
    dataset: Dataset,
    recipe: Recipe,
    student: Student,
    seeds: Sequence[int],
    device: str,
    report: Callable[[int, int, int], None],
    kept: Kept | None = None,
) -> Iterator[Result]:
    """Trains a new student for each seed and tests it after its last epoch.

    ``report`` hears (index of the seed, done, total).
    """
    images, labels = (
        training.images_of(distilled, recipe.normalises(dataset)),
        torch.from_numpy(distilled.labels),
    )
    test_images = training.Normalised.of(test[0], *recipe.normalises(dataset))
    width = recipe.width if student.name == recipe.student else None
    decides = [
        distilled.sha256,
        datasets.digest(*test),
        recipe.sha256,
        student.name,
        device,
        torch.__version__,
        torch.get_num_threads(),
    ]
    for index, seed in enumerate(seeds):
        key = hashlib.sha256(json.dumps([*decides, seed]).encode()).hexdigest()
        result = kept.get(key) if kept else None
        if result is None:
            started = time.monotonic()
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                net = student.build(
                    dataset.num_classes, dataset.image_size, dataset.channels, width
                )
            training.train(net, images, labels, recipe, seed, device, report=partial(report, index))
            accuracy, confusion = _tested(
                training.predict(net, test_images).numpy(), test[1], dataset.num_classes
            )
            result = Result(accuracy, confusion, time.monotonic() - started)
            if kept:
                kept.put(key, result)
        yield result


def _tested(predicted: Array, labels: Array, classes: int) -> tuple[float, list[list[int]]]:
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return float((predicted == labels).mean()), counts.reshape(classes, classes).tolist()
