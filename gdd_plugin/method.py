"""Generate batches of sampled images and their augmented copies, round-robin over the classes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Replacement, Task, UserError
from gdd_plugin import batching
from gdd_plugin.batching import is_out_of_memory
from gdd_plugin.generator import ImageGenerator, ImageKey
from gdd_plugin.improvement.improve import Improver, has_time_to_compile
from gdd_plugin.improvement.pool import Pool
from gdd_plugin.improvement.real_images import RealImages
from gdd_plugin.improvement.work import NONE, Work
from gdd_plugin.metadata import record_entries
from gdd_plugin.settings import Settings, parse_settings

if TYPE_CHECKING:
    from benchmark_adapters.types import Batch

# Time limit in seconds from which images are selected and refined.
MIN_LIMIT = 45.0
# Images per class in the pool to select from: at least so many, or so many for each of the set.
MIN_POOL, POOL_PER_IMAGE = 600, 20
# The largest of these pools if refinement follows, which is worth more of the time.
MAX_REFINED_POOL = 3000
# Share of the remaining time that sampling the pool may take.
MAX_POOL_SHARE = 0.25
# Share of the remaining time that sampling every image may take. Otherwise copies complete the set.
MAX_FRESH_SHARE = 0.5


def distill(task: Task, budget: Budget) -> Iterator[Batch | Replacement]:
    """Yield batches of sampled images and their copies, endlessly if ``task.ipc`` is None.

    If the images are selected or refined, yield better and better sets instead.

    Raises:
        UserError: the model, the adapter or the tiny decoder cannot be found or loaded, there is
            not enough memory for a single image, or the requested phases can't run.
    """
    settings = parse_settings(task.options, task.dataset.name)
    work, real = _decide(task, budget, settings)
    task.report(select=work.select, refine=work.refine)
    if real is not None:
        yield from _improve(task, budget, replace(settings, work=work), real)
    else:
        generator = _generator(task, settings, budget)
        yield from _sample(generator, _per_class(task, generator), budget)


def _decide(task: Task, budget: Budget, settings: Settings) -> tuple[Work, RealImages | None]:
    """Return the work to do after sampling, and the real images for it if there is any.

    Raises:
        UserError: an option asks for something that is not possible.
    """
    images = (task.ipc or 0) * task.dataset.num_classes
    if task.parts > 1 and (problem := indivisible(task.options, task.ipc, budget.limit)):
        raise UserError(problem)
    obstacle = _obstacle(settings, task.ipc, budget.limit)
    work, real = settings.work.decide(task.track, images, obstacle), None
    if not work.is_sampling_alone:
        compares = has_time_to_compile(task, budget) and work.refine != NONE
        try:
            real = RealImages.of(task, holds_out=compares)
        except UserError as error:
            obstacle = f"needs real training images: {error}"
            work = settings.work.decide(task.track, images, obstacle)
    if obstacle and not settings.work.is_sampling_alone:
        task.report(sampled_alone_because=f"improving a set {obstacle}")
    return work, real


def indivisible(options: Mapping[str, Any], ipc: int | None, limit: float) -> str:
    """Return why several processes can't share a set: each would improve its own images."""
    settings = parse_settings(options, "")
    if settings.work.is_sampling_alone or _obstacle(settings, ipc, limit):
        return ""
    return (
        "select and refine need a single process: leave out --processes and shards, "
        "or add --option preset=sampled"
    )


def _obstacle(settings: Settings, ipc: int | None, limit: float) -> str:
    """Return why a set can't be improved; empty: it can."""
    if settings.work.is_sampling_alone:
        return ""
    if ipc is None:
        return "needs a fixed number of images per class: --ipc N"
    if limit < MIN_LIMIT:
        return f"needs a time limit of at least {MIN_LIMIT:g} s"
    if settings.asks_for_copies:
        return "makes no augmented copies: leave out the options pda and copies"
    return ""


def _generator(task: Task, settings: Settings, budget: Budget) -> ImageGenerator:
    """Load the model and decide whether images get copies."""
    images = None
    if task.ipc is not None:
        images = math.ceil(task.ipc * task.dataset.num_classes / (1 + settings.copies) / task.parts)
    generator = ImageGenerator(task, settings, images)
    generator.choose_decoder()
    if task.ipc is not None:
        if settings.prefers_fresh and _has_time_for_fresh(task, generator, budget):
            generator.copies = 0
        # The clock may have decided, so a rerun must not ask it again.
        task.report(decided={"copies": generator.copies})
    task.ready(**generator.metadata())
    return generator


def _has_time_for_fresh(task: Task, generator: ImageGenerator, budget: Budget) -> bool:
    """Return whether every image of the set can be sampled, so that no copies are needed."""
    if task.parts > 1:
        # All processes must decide alike, and their speeds differ.
        return True
    seconds = (task.ipc or 0) * task.dataset.num_classes * generator.seconds_per_image()
    return seconds < MAX_FRESH_SHARE * budget.remaining()


def _per_class(task: Task, generator: ImageGenerator) -> int | None:
    """Return the number of images to sample per class; None: as many as the time allows."""
    return None if task.ipc is None else math.ceil(task.ipc / (1 + generator.copies))


def _sample(generator: ImageGenerator, per_class: int | None, budget: Budget) -> Iterator[Batch]:
    """Yield batches of sampled images and their copies; report what half precision can't hold."""
    reported: set[str] = set()
    for batch in _batches(generator, per_class, budget):
        if generator.in_float32 != reported:
            reported = set(generator.in_float32)
            generator.task.report(overflowed=sorted(reported))
        yield batch


def _batches(generator: ImageGenerator, per_class: int | None, budget: Budget) -> Iterator[Batch]:
    """Yield batches of sampled images and their copies."""
    keys = image_keys(generator.task, per_class)
    if per_class is None:
        # The first image shows how long the others take.
        yield generator.generate(list(itertools.islice(keys, 1)))
    yield from _grow_batches(generator, keys, budget)
    generator.compile(budget)
    yield from _generate_all(generator, keys, budget)


def _improve(
    task: Task, budget: Budget, settings: Settings, real: RealImages
) -> Iterator[Batch | Replacement]:
    """Yield better and better sets, made from a pool of sampled images."""
    assert task.ipc
    classes, work = task.dataset.num_classes, settings.work
    size = pool_size(work, task.ipc)
    generator = ImageGenerator(task, replace(settings, pda="none", copies=0), size * classes)
    if work.refine == "latents":
        generator.sampler.require_direct()
    generator.choose_decoder()
    task.ready(**generator.metadata())
    batches: list[Batch] = []
    pool: Pool | None = None
    for batch in _pool_batches(generator, size, budget):
        batches.append(batch)
        if pool is None and sum(len(labels) for _, labels, *_ in batches) >= task.ipc * classes:
            pool = Pool.of(batches, classes)
            yield pool.replacement(pool.first(task.ipc))
        elif pool is None:
            # Should the time end before there is a set, these images are not lost.
            yield batch
    if pool is None:
        return
    pool = Pool.of(batches, classes)
    # A large pool takes much memory.
    batches.clear()
    try:
        yield from Improver(task, budget, work, real, generator).improve(pool)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        task.report(improvement_stopped_because="not enough memory")


def pool_size(work: Work, ipc: int) -> int:
    """Return the number of images per class to sample for a set that is improved."""
    if work.select == NONE:
        return ipc
    size = max(MIN_POOL, POOL_PER_IMAGE * ipc)
    if work.refine != NONE:
        size = min(size, MAX_REFINED_POOL)
    return max(ipc, work.pool or size)


def _pool_batches(generator: ImageGenerator, size: int, budget: Budget) -> Iterator[Batch]:
    """Sample a pool of ``size`` images per class, or fewer if the time does not suffice."""
    task, fixed = generator.task, generator.settings.work.pool
    classes, ipc = task.dataset.num_classes, task.ipc or 0
    enough = (1 - MAX_POOL_SHARE) * budget.remaining()
    start, count = time.monotonic(), 0
    for batch in _sample(generator, size, budget):
        yield batch
        count += len(batch[1])
        task.progress("sampling a pool", count // classes, size)
        if fixed is None and count >= ipc * classes and budget.remaining() < enough:
            break
    seconds = round(time.monotonic() - start, 3)
    task.report(pool=str(count // classes), sampled=count, sampling_seconds=seconds)


def _grow_batches(
    generator: ImageGenerator, keys: Iterator[ImageKey], budget: Budget
) -> Iterator[Batch]:
    """Yield batches one by one while searching for the best size. They become part of the set."""
    while generator.sizer.growing and (
        batch := next(batching.batches(keys, generator.sizer, budget), None)
    ):
        yield generator.generate(batch)


def _generate_all(
    generator: ImageGenerator, keys: Iterator[ImageKey], budget: Budget
) -> Iterator[Batch]:
    """Yield the remaining batches, several at a time, and report the batch size if it changes."""
    task = generator.task
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
