"""generative-turbo: batches of sampled images and their augmented copies, classes round-robin."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Task
from gdd_plugin import batching
from gdd_plugin.generator import ImageGenerator, ImageKey
from gdd_plugin.metadata import record_entries
from gdd_plugin.settings import parse_settings

if TYPE_CHECKING:
    from benchmark_adapters.types import Batch


def distill(task: Task, budget: Budget) -> Iterator[Batch]:
    """Yield batches of sampled images and their copies, without end if ``task.ipc`` is None."""
    settings = parse_settings(task.options, task.dataset.name)
    per_class = None if task.ipc is None else math.ceil(task.ipc / (1 + settings.copies))
    images = None
    if per_class is not None:
        images = math.ceil(per_class * task.dataset.num_classes / task.parts)
    generator = ImageGenerator(task, settings, images)
    generator.choose_decoder()
    task.ready(**generator.metadata())
    keys = image_keys(task, per_class)
    if per_class is None:  # one image tells how long the others take
        yield generator.generate(list(itertools.islice(keys, 1)))
    yield from _grow_batches(generator, keys, budget)
    generator.compile(budget)
    yield from _generate_all(task, generator, keys, budget)


def _grow_batches(
    generator: ImageGenerator, keys: Iterator[ImageKey], budget: Budget
) -> Iterator[Batch]:
    """Yield batches one by one while the best size is sought. They are kept like all others."""
    while generator.sizer.growing and (
        batch := next(batching.batches(keys, generator.sizer, budget), None)
    ):
        yield generator.generate(batch)


def _generate_all(
    task: Task, generator: ImageGenerator, keys: Iterator[ImageKey], budget: Budget
) -> Iterator[Batch]:
    """Yield the remaining batches, several at the same time; report their size when it changes."""
    workers, reported = generator.num_workers, generator.sizer.size
    task.report(batch=reported, lanes=workers, **record_entries(generator.compilation))
    # On a GPU each worker keeps the main thread's share of the CPU, since a compiled graph would be
    # compiled again for another one.
    threads = torch.get_num_threads() * (workers if task.device != "cpu" else 1)
    batches = batching.batches(keys, generator.sizer, budget)
    for batch in batching.parallel_map(generator.generate, batches, workers, threads):
        if generator.sizer.size != reported:  # memory was short
            reported = generator.sizer.size
            task.report(batch=reported, **record_entries(generator.compilation))
        yield batch


def image_keys(task: Task, per_class: int | None) -> Iterator[ImageKey]:
    """Yield class and index of every image that is this process's part of the set.

    They are the first image of each class, then the second, so that a cut leaves a balanced set.
    """
    indices = (
        itertools.count(task.part, task.parts)
        if per_class is None
        else range(task.part, per_class, task.parts)
    )
    for index in indices:
        for label in range(task.dataset.num_classes):
            yield label, index
