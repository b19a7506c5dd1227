"""Sizes of batches, and several at the same time."""

import threading
import time

import pytest
import torch
from sampling import make_budget

from gdd_plugin import batching
from gdd_plugin.batching import BatchSizer, batches, parallel_map


def grow(sizer, seconds):
    """Record batches that take ``seconds(count)``, as on a GPU; return the sizes tried."""
    tried = []
    while sizer.growing:
        tried.append(sizer.size)
        sizer.record(sizer.size, seconds(sizer.size))
    return tried


def test_a_gpus_batch_grows_while_that_pays():
    sizer = BatchSizer(None, "cuda", 3e9)
    tried = grow(sizer, lambda count: 0.05 + 0.01 * count)
    assert tried == [4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128]
    assert sizer.size == 128  # from 64 on, twice the batch brings less than a twentieth


def test_a_gpus_batch_stops_at_its_memory():
    sizer = BatchSizer(None, "cuda", 3e9)
    for _ in range(2):
        sizer.record(4, 0.1)
    assert sizer.size == 8
    sizer.shrink(8)
    assert (sizer.size, sizer.growing) == (4, False)


def test_on_a_cpu_a_seed_gives_the_same_batches_in_every_run():
    assert not BatchSizer(None, "cpu", 1e6).growing
    assert BatchSizer(None, "cpu", 1e6).size == batching.SMALL_MODEL_BATCH
    assert BatchSizer(None, "cpu", 1e6, max_default=50).size == 50  # no worker gets all the images
    assert BatchSizer(None, "cpu", 3e9).size == batching.CPU_BATCH
    assert BatchSizer(7, "cuda", 3e9).size == 7
    assert not BatchSizer(7, "cuda", 3e9).growing


def test_batches_shrink_before_the_limit():
    sizer = BatchSizer(16, "cpu", 1e6)
    assert sizer.next(1e-3) == 16  # nothing is known of its time
    sizer.record(16, 1.6)
    assert sizer.next(100) == 16
    assert sizer.next(2.0) == 10
    assert sizer.next(0.01) == 1


def test_workers_work_at_once_and_answer_in_order():
    together = threading.Barrier(2, timeout=300)  # breaks unless two are at work at the same time

    def make(item):
        together.wait()
        time.sleep(0.05 * (item % 2))
        return item

    assert list(parallel_map(make, iter(range(6)), 2, 2)) == list(range(6))


def test_workers_share_the_cores_and_leave_others_alone():
    before = torch.get_num_threads()
    shares = list(parallel_map(lambda _: torch.get_num_threads(), iter(range(4)), before, before))
    assert set(shares) == {1}
    assert torch.get_num_threads() == before


def test_an_error_in_a_worker_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda item: 1 // item, iter([1, 0, 1]), 2, 2))


def test_a_batch_takes_what_is_left():
    assert list(batches(iter(range(5)), BatchSizer(2, "cpu", 1e6), make_budget(9))) == [
        [0, 1],
        [2, 3],
        [4],
    ]
