"""How many images a forward pass takes, and several passes at the same time."""

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
# Parameters of a UNet whose single operations are too small to keep several cores busy.
SMALL_MODEL = 100e6
SMALL_MODEL_BATCH, CPU_BATCH, FIRST_GPU_BATCH, MAX_GPU_BATCH = 128, 4, 4, 256
MIN_SPEEDUP = 1.05  # per image, for which a batch is doubled once more
TRIALS_PER_SIZE = 2


class BatchSizer:
    """Chooses the size of the next batch.

    The size is fixed, or doubles while that makes images faster; it shrinks where time or memory is
    short. On a CPU the default is fixed, so that a seed gives the same pixels in every run of as
    many images on as many cores.

    Attributes:
        size: of a batch while there is time enough.
        growing: whether larger sizes are still being tried.
        seconds_per_image: in the last batch; 0 before it.
    """

    def __init__(
        self,
        size: int | None,
        device: str,
        parameters: float,
        max_default: int = SMALL_MODEL_BATCH,
    ) -> None:
        """Begin with ``size``, or with a default.

        Args:
            size: images per batch; None: the default for the device and the model.
            device: torch device.
            parameters: number of the UNet's parameters.
            max_default: the default on a CPU is no larger.
        """
        self.size = size or _default_size(device, parameters, max_default)
        self.growing = size is None and device != "cpu"
        self.seconds_per_image = 0.0
        self._best: dict[int, float] = {}
        self._trials = 0

    def next(self, remaining: float) -> int:
        """Return the next batch's size, for which ``remaining`` seconds suffice twice."""
        seconds = 2 * self.seconds_per_image
        if seconds and remaining < self.size * seconds:
            return max(1, int(remaining / seconds))
        return self.size

    def record(self, count: int, seconds: float) -> None:
        """Note that a batch of ``count`` took ``seconds``; while growing, decide on a new size."""
        self.seconds_per_image = seconds / count
        # The fastest batch counts: others shared the machine, or were the first of their size.
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
        """Note that there was no memory for a batch of ``count``."""
        self.size, self.growing = max(1, min(self.size, count // 2)), False


def _default_size(device: str, parameters: float, max_size: int) -> int:
    if device != "cpu":
        return FIRST_GPU_BATCH
    return min(max_size, SMALL_MODEL_BATCH) if parameters < SMALL_MODEL else CPU_BATCH


def batches(items: Iterator[T], sizer: BatchSizer, budget: Budget) -> Iterator[list[T]]:
    """Yield ``items`` in lists as long as ``sizer`` says at the time."""
    while batch := list(itertools.islice(items, sizer.next(budget.remaining()))):
        yield batch


def num_workers(device: str, parameters: float, threads: int) -> int:
    """Return how many batches to make at the same time.

    Two on a CUDA GPU, so that one is prepared or stored while the other is computed. On a CPU a
    small model's operations are so short that each core does more with a batch of its own; a large
    model's operations keep all cores busy.
    """
    if device == "cpu":
        return threads if parameters < SMALL_MODEL else 1
    return 2 if device.startswith("cuda") else 1


def parallel_map(
    function: Callable[[T], R], items: Iterator[T], workers: int, threads: int
) -> Iterator[R]:
    """Yield ``function`` of each item, in order.

    Args:
        function: is called in threads.
        items: are taken one by one, one more than there are workers at most.
        workers: calls at the same time.
        threads: of torch, which the workers share evenly.
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
        finally:  # a caller that stops early waits only for calls that have begun
            pool.shutdown(cancel_futures=True)
