"""Measure selection and refinement for datasets with many classes, on random images.

    python experiments/many_classes.py

Prints a row of the table in experiments.md for each shape: seconds and memory of a sweep of the
selection through the set, and of a visit of the refinement. Takes ten minutes on two cores.
"""

import resource
import time
from collections.abc import Callable
from multiprocessing import get_context

import numpy as np
import torch
from tabulate import tabulate

from benchmark_adapters.datasets import CIFAR100, TINY_IMAGENET
from benchmark_adapters.scoring.recipes import ECCV2024
from benchmark_adapters.types import Dataset, Task
from gdd_plugin.improvement import exchange, regression, select
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.pyramid import Pyramid
from gdd_plugin.improvement.real_images import RealImages
from gdd_plugin.improvement.refine import Refinement, settings_for
from gdd_plugin.improvement.work import Work
from gdd_plugin.method import pool_size

SHAPES = [(dataset, ipc) for dataset in (CIFAR100, TINY_IMAGENET) for ipc in (10, 50)]
REAL_PER_CLASS = 50
WORK = Work("regression", "pixels")
# Refinement of larger sets is left out: its time grows with the number of images.
MAX_VISITED = 1000
HEADINGS = ("dataset", "IPC", "pool", "s per sweep", "GiB", "s per visit", "GiB")


def make_task(dataset: Dataset, ipc: int) -> Task:
    """Return a task whose real images are random."""
    count = REAL_PER_CLASS * dataset.num_classes
    shape = (count, dataset.channels, dataset.image_size, dataset.image_size)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    labels = np.arange(count) % dataset.num_classes
    return Task(
        "eccv2024-fixed",
        dataset,
        seed=0,
        device="cpu",
        ipc=ipc,
        options={},
        training_images=lambda: (images, labels),
        ready=lambda **values: None,
        recipe=ECCV2024,
    )


def sweep(dataset: Dataset, ipc: int) -> float:
    """Return the seconds of a sweep, for random features with as many components as real ones."""
    classes, per_class = dataset.num_classes, pool_size(WORK, ipc)
    size = select.MAX_COMPONENTS
    real = torch.randn(select.REAL, size) / size**0.5
    features = exchange.PoolFeatures(
        torch.randn(classes * per_class, size) / size**0.5,
        regression.targets(torch.arange(classes).repeat_interleave(per_class), classes),
        real.t() @ real,
        real.t() @ regression.targets(torch.arange(len(real)) % classes, classes),
    )
    selected = [label * per_class + index for label in range(classes) for index in range(ipc)]
    start = time.perf_counter()
    next(exchange.exchange(features, selected, 0, lambda: False))
    return time.perf_counter() - start


def visit(dataset: Dataset, ipc: int) -> float:
    """Return the seconds of a visit."""
    task = make_task(dataset, ipc)
    nets, real = Networks(task, compiled=True), RealImages.of(task)
    labels = torch.arange(dataset.num_classes).repeat_interleave(ipc)
    images = torch.randn(len(labels), dataset.channels, dataset.image_size, dataset.image_size)
    pyramid = Pyramid(images, real.clamp)
    refinement = Refinement(
        nets, real, pyramid, labels, 0, settings_for("pixels", len(labels), True)
    )
    refinement.visit(None)
    start = time.perf_counter()
    refinement.visit(None)
    return time.perf_counter() - start


def measured(
    function: Callable[[Dataset, int], float], dataset: Dataset, ipc: int
) -> tuple[float, float]:
    """Return the seconds that a function measures, and the peak memory of the process in GiB."""
    seconds = function(dataset, ipc)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print the table. Each number comes from a new process, for the sake of its memory."""
    rows = []
    for dataset, ipc in SHAPES:
        numbers: list[float] = []
        is_visited = ipc * dataset.num_classes <= MAX_VISITED
        for function in (sweep, visit) if is_visited else (sweep,):
            with get_context("spawn").Pool(1) as pool:
                numbers += pool.apply(measured, (function, dataset, ipc))
        rows.append((dataset.name, ipc, pool_size(WORK, ipc) * dataset.num_classes, *numbers))
        print(rows[-1], flush=True)
    print(tabulate(rows, HEADINGS, tablefmt="github", floatfmt=".1f"))


if __name__ == "__main__":
    main()
