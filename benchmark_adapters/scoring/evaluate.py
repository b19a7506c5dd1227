"""Score a distilled set: train students on it and test them on all real test images."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark_adapters import datasets, environment
from benchmark_adapters.scoring import training
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.scoring.images import Normalised, images_of
from benchmark_adapters.scoring.seed_cache import SeedCache, SeedResult
from benchmark_adapters.types import Dataset, DistilledSet, Recipe, Student, resolve

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
    cache: SeedCache | None = None,
    backend: Backend = "auto",
) -> Iterator[SeedResult]:
    """Train and test a new student for each seed; yield the results in the order of the seeds.

    Args:
        distilled: the set to score.
        test: real test images, uint8 [N, C, H, W], and their labels, int64 [N].
        dataset: the dataset of both.
        recipe: how to train the students.
        student: the network. The recipe's width applies to the recipe's own student only; any
            other student has its default width.
        seeds: each determines the initial weights, the order of the images and the augmentation.
        device: a torch device name.
        report: called with (index of the seed, done, total), in the recipe's steps or epochs.
        cache: keeps the results of finished seeds; None: every seed is trained.
        backend: how to train and test the students.

    Yields:
        One result per seed.
    """
    normalisation = recipe.normalises(dataset)
    images, labels = images_of(distilled, normalisation), torch.from_numpy(distilled.labels)
    test_images = Normalised.of(test[0], *normalisation)
    width = recipe.width if student.name == recipe.student else None
    size = dataset.num_classes, dataset.image_size, dataset.channels, width
    settings = [recipe.sha256, student.name, size, normalisation, device, backend]
    facts = [*settings, *_facts(distilled, test, student)]
    class_sizes = np.bincount(test[1], minlength=dataset.num_classes).tolist()
    for index, seed in enumerate(seeds):
        started = time.monotonic()
        with training.seeded(seed):
            net = resolve(student.build)(*size)
        plan = training.plan_backend(net, len(labels), recipe, device, backend)
        key = _cache_key(*facts, seed, plan.planned)
        result = cache.get(key, class_sizes) if cache else None
        if result is None:
            progress = partial(report, index)
            training.train(net, images, labels, recipe, seed, device, report=progress, backend=plan)
            predicted = training.predict(net, test_images, backend, recipe.tf32_convolutions)
            accuracy, confusion = _compare(predicted.numpy(), test[1], dataset.num_classes)
            seconds = time.monotonic() - started
            how = plan.used, plan.fallback, key, student.name, seed
            result = SeedResult(accuracy, confusion, seconds, *how)
            if cache:
                # A full disk must not cost the result: the record may still fit.
                with contextlib.suppress(OSError):
                    cache.put(result)
        yield result


def _cache_key(*parts: object) -> str:
    """Hash everything that determines a result."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _facts(
    distilled: DistilledSet, test: tuple[Array, Array], student: Student
) -> tuple[object, ...]:
    """Return what determines results besides the settings: images, code, versions and machine.

    Versions, threads and processors change the rounding, and training magnifies that.
    """
    sets = distilled.sha256, str(distilled.images.dtype), distilled.normalisation
    cpu = environment.hardware()["cpu"], torch.backends.cpu.get_cpu_capability()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    machine = *cpu, gpu, torch.get_num_threads()
    return *sets, datasets.digest(*test), _sources(student), environment.versions(), *machine


def _sources(student: Student) -> str:
    """Hash the code that trains students, and the file that defines this one."""
    build = inspect.unwrap(resolve(student.build))
    own = inspect.getsourcefile(build) if inspect.isroutine(build) else None
    files = [*sorted(Path(__file__).parent.rglob("*.py")), *([Path(own)] if own else [])]
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _compare(predicted: Array, labels: Array, num_classes: int) -> tuple[float, list[list[int]]]:
    """Return the accuracy and the confusion counts of predicted classes, int64 [N].

    Args:
        predicted: the predicted classes.
        labels: the true classes, int64 [N].
        num_classes: number of classes.

    Returns:
        The accuracy as a fraction, and counts indexed [true class][predicted class].
    """
    counts = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    confusion = counts.reshape(num_classes, num_classes).tolist()
    return float((predicted == labels).mean()), confusion
