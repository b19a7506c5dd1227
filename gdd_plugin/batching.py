"""Choose batch sizes and compute several batches concurrently."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from benchmark_adapters.budget import Budget

T = TypeVar("T")
R = TypeVar("R")
# A UNet with fewer parameters has operations that are too small to keep several cores busy.
SMALL_MODEL = 100e6
SMALL_MODEL_BATCH, CPU_BATCH, FIRST_GPU_BATCH, MAX_GPU_BATCH = 128, 4, 4, 256
# The batch is doubled again only if the last doubling made each image at least this much faster.
MIN_SPEEDUP = 1.05
TRIALS_PER_SIZE = 2


class BatchSizer:
    """The policy for the size of the next batch.

    The size is either fixed, or doubled for as long as that makes images faster. It shrinks when
    time or memory is short. On a CPU the default size is fixed. A seed therefore produces the same
    pixels in every run with the same number of images and cores.

    Attributes:
        size: images per batch while enough time is left.
        growing: whether larger sizes are still being tried.
        seconds_per_image: time per image in the last batch; 0 before the first batch.
    """

    def __init__(
        self,
        size: int | None,
        device: str,
        parameters: float,
        max_default: int = SMALL_MODEL_BATCH,
    ) -> None:
        """Start with ``size``, or with a default.

        Args:
            size: images per batch; None: the default for the device and the model.
            device: torch device.
            parameters: number of parameters of the UNet.
            max_default: upper limit of the default size on a CPU.
        """
        self.size = size or _default_size(device, parameters, max_default)
        self.growing = size is None and device != "cpu"
        self.seconds_per_image = 0.0
        self._best: dict[int, float] = {}
        self._trials = 0

    def next(self, remaining: float) -> int:
        """Return the size of the next batch, which should take at most half of the remaining time.

        ``remaining`` is in seconds. The size is at least 1.
        """
        seconds = 2 * self.seconds_per_image
        if seconds and remaining < self.size * seconds:
            return max(1, int(remaining / seconds))
        return self.size

    def record(self, count: int, seconds: float) -> None:
        """Record that a batch of ``count`` took ``seconds``; while growing, choose a new size."""
        self.seconds_per_image = seconds / count
        # Keep the fastest time of each size. A slower batch may have shared the machine with other
        # work, or was the first of its size.
        self._best[count] = min(self._best.get(count, seconds / count), seconds / count)
        if not self.growing or count != self.size:
            return
        self._trials += 1
        if self._trials < TRIALS_PER_SIZE:
            return
        self._trials, half = 0, self._best.get(count // 2)
        if half and half < MIN_SPEEDUP * self._best[count]:
            self.size, self.growing = (count if half > self._best[count] else count // 2), False
        elif 2 * count > MAX_GPU_BATCH:
            self.growing = False
        else:
            self.size = 2 * count

    def shrink(self, count: int) -> None:
        """Reduce the size after a batch of ``count`` ran out of memory."""
        self.size, self.growing = max(1, min(self.size, count // 2)), False


def _default_size(device: str, parameters: float, max_size: int) -> int:
    if device != "cpu":
        return FIRST_GPU_BATCH
    return min(max_size, SMALL_MODEL_BATCH) if parameters < SMALL_MODEL else CPU_BATCH


def batches(items: Iterator[T], sizer: BatchSizer, budget: Budget) -> Iterator[list[T]]:
    """Yield ``items`` in lists; ``sizer`` chooses the length of each list."""
    while batch := list(itertools.islice(items, sizer.next(budget.remaining()))):
        yield batch


def num_workers(device: str, parameters: float, threads: int) -> int:
    """Return how many batches to compute concurrently.

    On a CUDA GPU it is two: one batch is prepared or stored while the other is computed. On a CPU,
    a small model's operations are so short that each core achieves more with its own batch. A large
    model's operations keep all cores busy.
    """
    if device == "cpu":
        return threads if parameters < SMALL_MODEL else 1
    return 2 if device.startswith("cuda") else 1


def parallel_map(
    function: Callable[[T], R], items: Iterator[T], workers: int, threads: int
) -> Iterator[R]:
    """Yield the result of ``function`` for each item, in order.

    Args:
        function: called in worker threads.
        items: read lazily; at most ``workers`` + 1 of them are in progress.
        workers: number of concurrent calls.
        threads: torch threads, divided evenly among the workers.
    """
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(
        workers, initializer=torch.set_num_threads, initargs=(max(1, threads // workers),)
    ) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # A caller that stops early waits only for calls that have already started.
            pool.shutdown(cancel_futures=True)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether ``error`` means that memory ran out.

    Libraries below torch raise a plain `RuntimeError`, so its message is checked too.
    """
    return isinstance(error, torch.OutOfMemoryError) or any(
        text in str(error) for text in ("out of memory", "allocate memory", "ALLOC_FAILED")
    )
