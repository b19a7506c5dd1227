"""Generate batches of sampled images and their augmented copies, round-robin over the classes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Replacement, Task, UserError
from gdd_plugin import batching
from gdd_plugin.generator import ImageGenerator, ImageKey
from gdd_plugin.metadata import record_entries
from gdd_plugin.settings import Settings, parse_settings

if TYPE_CHECKING:
    from benchmark_adapters.types import Batch
    from gdd_plugin.improvement.improve import Pool

# Images per class in the pool to select from: at least so many, or so many for each of the set.
MIN_POOL, POOL_PER_IMAGE = 600, 20
# Share of the remaining time that sampling the pool may take.
MAX_POOL_SHARE = 0.25


def distill(task: Task, budget: Budget) -> Iterator[Batch | Replacement]:
    """Yield batches of sampled images and their copies, endlessly if ``task.ipc`` is None.

    Raises:
        UserError: the model, the adapter or the tiny decoder cannot be found or loaded, or there is
            not enough memory for a single image.
    """
    settings = parse_settings(task.options, task.dataset.name)
    if settings.work.is_sampling_alone:
        yield from _sample(task, budget, settings)
    else:
        yield from _improve(task, budget, settings)


def _sample(task: Task, budget: Budget, settings: Settings) -> Iterator[Batch]:
    """Yield batches of sampled images and their copies."""
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


def _improve(task: Task, budget: Budget, settings: Settings) -> Iterator[Replacement]:
    """Yield better and better sets, made from a pool of sampled images.

    Raises:
        UserError: the number of images per class is not fixed, or several processes share the set.
    """
    if task.ipc is None:
        raise UserError("select and refine need a fixed number of images per class: --ipc N")
    if task.parts > 1:
        raise UserError(
            "select and refine need one process: leave out --processes and --shard, "
            "or sample alone with --option select=none --option refine=none"
        )
    from gdd_plugin.improvement.improve import Improver

    pool: Pool | None = None
    for pool in _pools(task, budget, settings):
        yield pool.replacement(pool.first(task.ipc, task.dataset.num_classes))
    if pool is not None:
        yield from Improver(task, budget, settings.work).improve(pool)


def _pools(task: Task, budget: Budget, settings: Settings) -> Iterator[Pool]:
    """Sample a pool; yield it when it suffices for a set, and again when it is complete."""
    from gdd_plugin.improvement.improve import Pool

    assert task.ipc
    size = settings.work.pool or max(MIN_POOL, POOL_PER_IMAGE * task.ipc)
    fresh = replace(settings, copies=0)
    batches: list[Batch] = []
    enough = (1 - MAX_POOL_SHARE) * budget.remaining()
    start = time.monotonic()

    def ready(**values: Any) -> None:
        nonlocal start
        task.ready(**values)
        # Loading the model is not sampling.
        start = time.monotonic()

    pool, count = None, 0
    for batch in _sample(replace(task, ipc=size, ready=ready), budget, fresh):
        batches.append(batch)
        count += len(batch[1])
        task.progress("sampling a pool", count // task.dataset.num_classes, size)
        is_set = count >= task.ipc * task.dataset.num_classes
        if is_set and pool is None:
            pool = Pool.of(batches, task.dataset.num_classes)
            yield pool
        if is_set and settings.work.pool is None and budget.remaining() < enough:
            break
    pool = Pool.of(batches, task.dataset.num_classes)
    task.report(
        pool=str(pool.per_class(task.dataset.num_classes)),
        sampled=count,
        sampling_seconds=round(time.monotonic() - start, 3),
    )
    yield pool


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
