"""The engine for one machine: worker processes that live as long as the sweep."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent import futures
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection

from tqdm import tqdm

from benchmark_adapters import reporting
from benchmark_adapters.runs import unfinished
from benchmark_adapters.sweeps import tasks
from benchmark_adapters.sweeps.engines.engine import Lost, Task
from benchmark_adapters.sweeps.tasks import Answer


class Local:
    """Some worker processes. A task under a clock runs while all others wait."""

    def __init__(self, workers: int) -> None:
        self.environment: Mapping[str, str | int | float] = unfinished.here()
        self._workers = [_Worker() for _ in range(workers)]
        self._waiting: dict[int, Task] = {}
        self._running: dict[Future[Answer], tuple[int, Task, _Worker]] = {}
        self._count = 0

    def submit(self, task: Task) -> int:
        self._count += 1
        self._waiting[self._count] = task
        self._start()
        return self._count

    def _start(self) -> None:
        """Start what can start. Tasks under a clock come first, because what follows can share."""
        busy = [worker for _, _, worker in self._running.values()]
        free = [worker for worker in self._workers if worker not in busy]
        for number in sorted(self._waiting, key=lambda one: not self._waiting[one].is_clocked):
            task = self._waiting[number]
            is_alone = any(other.is_clocked for _, other, _ in self._running.values())
            if not free or is_alone or (task.is_clocked and self._running):
                return
            worker = free.pop()
            self._running[worker.start(task)] = number, task, worker
            del self._waiting[number]

    def wait(self, seconds: float) -> list[tuple[int, Answer | Lost]]:
        done, _ = futures.wait(self._running, seconds, futures.FIRST_COMPLETED)
        answers: list[tuple[int, Answer | Lost]] = []
        for future in done:
            number, _, worker = self._running.pop(future)
            try:
                answers.append((number, future.result()))
            except BrokenProcessPool:
                worker.close()
                answers.append((number, Lost("its worker was killed")))
        self._start()
        return answers

    def at_work(self) -> set[int]:
        return {number for number, _, _ in self._running.values()}

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


class _Worker:
    """A process that works on one task after another, in a pool of its own.

    If it is killed, the other pools go on. The next task gets a new process.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None
        self._future: Future[Answer] = Future()

    def start(self, task: Task) -> Future[Answer]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            end, self._lifeline = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(
                1, context, initializer=_begin, initargs=(end, reporting.is_verbose())
            )
        self._future = self._pool.submit(tasks.answer, task.function, task.arguments)
        return self._future

    def close(self) -> None:
        """End the process; one that works is killed, and takes its own children with it."""
        if self._pool and self._lifeline:
            if self._future.done():
                self._pool.shutdown()
            self._lifeline.close()
            self._pool.shutdown(cancel_futures=True)
        self._pool = self._lifeline = None


def _begin(lifeline: Connection, is_verbose: bool) -> None:
    """Prepare a worker process.

    It dies when the other end of ``lifeline`` closes, because the coordinator is gone, however it
    went. Ctrl-C is for the coordinator alone. What the process prints would tear the table.
    """

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv_bytes()
        os.kill(os.getpid(), signal.SIGKILL)

    # The default lock of bars would outlive a process that is killed.
    tqdm.set_lock(threading.RLock())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    if not is_verbose:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
