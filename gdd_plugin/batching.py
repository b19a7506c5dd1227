"""How many images a forward pass takes, and several passes at once."""

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
SMALL = (
    100e6  # parameters of a UNet whose single operations are too small to keep several cores busy
)
SMALL_BATCH, CPU_BATCH, GPU_START, GPU_MOST = 128, 4, 4, 256
GAIN = 1.05  # what twice the images per pass must bring, per image, to be worth it
TRIES = 2


class BatchSize:
    """The size of the next batch: fixed, or doubled while that makes images faster; smaller where time or memory is short.

    On a CPU the default is fixed, so that a seed gives the same pixels in every run of as many images on as many cores.
    """

    def __init__(
        self, asked: int | None, device: str, parameters: float, most: int = SMALL_BATCH
    ) -> None:
        """``parameters`` of the UNet; on a CPU no lane's share of the images is more than ``most``."""
        self.size = asked or (
            GPU_START
            if device != "cpu"
            else min(most, SMALL_BATCH)
            if parameters < SMALL
            else CPU_BATCH
        )
        self.growing = asked is None and device != "cpu"
        self.per_image = 0.0  # seconds
        self._best: dict[int, float] = {}
        self._tries = 0

    def next(self, remaining: float) -> int:
        """The size of the next batch, which ends in ``remaining`` seconds even when another one is before it."""
        if self.per_image and remaining < 2 * self.size * self.per_image:
            return max(1, int(remaining / (2 * self.per_image)))
        return self.size

    def took(self, count: int, seconds: float) -> None:
        """Hears of a batch; while growing, decides on the next size."""
        # The fastest of a size counts: the others had to share the machine or were the first of their kind.
        self._best[count] = min(self._best.get(count, seconds / count), seconds / count)
        self.per_image = seconds / count
        if not self.growing or count != self.size:
            return
        self._tries += 1
        if self._tries < TRIES:
            return
        self._tries, half = 0, self._best.get(count // 2)
        if half and half < GAIN * self._best[count]:
            self.size, self.growing = (count if half > self._best[count] else count // 2), False
        elif 2 * count > GPU_MOST:
            self.growing = False
        else:
            self.size = 2 * count

    def out_of_memory(self, count: int) -> None:
        """Hears that a batch of ``count`` did not fit."""
        self.size, self.growing = max(1, min(self.size, count // 2)), False


def batches(items: Iterator[T], size: BatchSize, budget: Budget) -> Iterator[list[T]]:
    """``items`` in lists as long as ``size`` says at the time."""
    while batch := list(itertools.islice(items, size.next(budget.remaining()))):
        yield batch


def lanes(device: str, parameters: float, threads: int) -> int:
    """How many batches are made at once.

    On a CUDA GPU two, so that one is prepared or stored while the other is computed. On a CPU a small model's operations are so
    short that a core with a batch of its own does more than all cores on one batch; a large one's keep all of them busy.
    """
    if device == "cpu":
        return threads if parameters < SMALL else 1
    return 2 if device.startswith("cuda") else 1


def in_lanes(make: Callable[[T], R], items: Iterator[T], count: int, cores: int) -> Iterator[R]:
    """``make`` of each item, in order, ``count`` at once in threads that share ``cores`` evenly, and one more waiting."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(
        count, initializer=torch.set_num_threads, initargs=(max(1, cores // count),)
    ) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # whoever stops listening waits for no more than what runs
            pool.shutdown(cancel_futures=True)
