"""Tests of batch sizes and concurrent batches."""

import threading
import time

import pytest
import torch
from sampling import make_budget

from gdd_plugin import batching
from gdd_plugin.batching import BatchSizer, batches, parallel_map


def grow(sizer, seconds):
    """Record batches that take ``seconds(count)``, as on a GPU, and return the sizes tried."""
    tried = []
    while sizer.growing:
        tried.append(sizer.size)
        sizer.record(sizer.size, seconds(sizer.size))
    return tried


def test_gpu_batch_grows_while_that_pays_off():
    sizer = BatchSizer(None, "cuda", 3e9)
    tried = grow(sizer, lambda count: 0.05 + 0.01 * count)
    assert tried == [4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128]
    # From 64 to 128, an image becomes less than a twentieth faster.
    assert sizer.size == 128


def test_gpu_batch_shrinks_when_memory_runs_out():
    sizer = BatchSizer(None, "cuda", 3e9)
    for _ in range(2):
        sizer.record(4, 0.1)
    assert sizer.size == 8
    sizer.shrink(8)
    assert (sizer.size, sizer.growing) == (4, False)


def test_cpu_batch_and_explicit_batch_have_a_fixed_size():
    assert not BatchSizer(None, "cpu", 1e6).growing
    assert BatchSizer(None, "cpu", 1e6).size == batching.SMALL_MODEL_BATCH
    assert BatchSizer(None, "cpu", 1e6, max_default=50).size == 50
    assert BatchSizer(None, "cpu", 3e9).size == batching.CPU_BATCH
    assert BatchSizer(7, "cuda", 3e9).size == 7
    assert not BatchSizer(7, "cuda", 3e9).growing


def test_batches_shrink_before_the_time_limit():
    sizer = BatchSizer(16, "cpu", 1e6)
    # The time per image is still unknown.
    assert sizer.next(1e-3) == 16
    sizer.record(16, 1.6)
    assert sizer.next(100) == 16
    assert sizer.next(2.0) == 10
    assert sizer.next(0.01) == 1


def test_parallel_map_runs_concurrently_and_keeps_the_order():
    # The barrier breaks unless two calls run at the same time.
    together = threading.Barrier(2, timeout=300)

    def make(item):
        together.wait()
        time.sleep(0.05 * (item % 2))
        return item

    assert list(parallel_map(make, iter(range(6)), 2, 2)) == list(range(6))


def test_parallel_map_divides_the_torch_threads_among_its_workers():
    before = torch.get_num_threads()
    shares = list(parallel_map(lambda _: torch.get_num_threads(), iter(range(4)), before, before))
    assert set(shares) == {1}
    assert torch.get_num_threads() == before


def test_parallel_map_raises_the_errors_of_its_workers():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda item: 1 // item, iter([1, 0, 1]), 2, 2))


def test_last_batch_contains_the_remaining_items():
    assert list(batches(iter(range(5)), BatchSizer(2, "cpu", 1e6), make_budget(9))) == [
        [0, 1],
        [2, 3],
        [4],
    ]
