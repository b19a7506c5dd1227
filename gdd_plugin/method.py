"""Generate batches of sampled images and their augmented copies, round-robin over the classes."""

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
    """Yield batches of sampled images and their copies, endlessly if ``task.ipc`` is None.

    Raises:
        UserError: the model, the adapter or the tiny decoder cannot be found or loaded, or there is
            not enough memory for a single image.
    """
    settings = parse_settings(task.options, task.dataset.name)
    per_class = None if task.ipc is None else math.ceil(task.ipc / (1 + settings.copies))
    images = None
    if per_class is not None:
        images = math.ceil(per_class * task.dataset.num_classes / task.parts)
    generator = ImageGenerator(task, settings, images)
    generator.choose_decoder()
    task.ready(**generator.metadata())
    keys = image_keys(task, per_class)
    if per_class is None:
        # The first image shows how long the others take.
        yield generator.generate(list(itertools.islice(keys, 1)))
    yield from _grow_batches(generator, keys, budget)
    generator.compile(budget)
    yield from _generate_all(task, generator, keys, budget)


def _grow_batches(
    generator: ImageGenerator, keys: Iterator[ImageKey], budget: Budget
) -> Iterator[Batch]:
    """Yield batches one by one while searching for the best size. They become part of the set."""
    while generator.sizer.growing and (
        batch := next(batching.batches(keys, generator.sizer, budget), None)
    ):
        yield generator.generate(batch)


def _generate_all(
    task: Task, generator: ImageGenerator, keys: Iterator[ImageKey], budget: Budget
) -> Iterator[Batch]:
    """Yield the remaining batches, several at a time, and report the batch size if it changes."""
    workers, reported = generator.num_workers, generator.sizer.size
    task.report(batch=reported, lanes=workers, **record_entries(generator.compilation))
    # On a GPU each worker uses as many torch threads as the main thread. With another number, torch
    # would recompile a compiled graph.
    threads = torch.get_num_threads() * (workers if task.device != "cpu" else 1)
    batches = batching.batches(keys, generator.sizer, budget)
    for batch in batching.parallel_map(generator.generate, batches, workers, threads):
        # The size only changes here if memory ran out.
        if generator.sizer.size != reported:
            reported = generator.sizer.size
            task.report(batch=reported, **record_entries(generator.compilation))
        yield batch


def image_keys(task: Task, per_class: int | None) -> Iterator[ImageKey]:
    """Yield the label and index of every image that this process generates.

    The first image of every class comes before any second image. A set that is cut short is
    therefore still balanced.
    """
    indices = (
        itertools.count(task.part, task.parts)
        if per_class is None
        else range(task.part, per_class, task.parts)
    )
    for index in indices:
        for label in range(task.dataset.num_classes):
            yield label, index
