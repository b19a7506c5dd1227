"""A clock of the harness that tests can advance."""

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from benchmark_adapters.execution import channel, discovery, supervisor


class Clock:
    """A clock that reaches the limit at the same batch on every machine, without any waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        self.go()
        self._take = supervisor._Run.take
        fake = SimpleNamespace(monotonic=lambda: time.monotonic() + self.ahead)
        monkeypatch.setattr(supervisor, "time", fake)
        monkeypatch.setattr(channel, "time", fake)
        monkeypatch.setattr(discovery, "time", fake)
        clock = self

        def take(run, worker, event):
            clock._take(run, worker, event)
            if clock._condition(run.workers):
                clock.ahead += 1e6

        monkeypatch.setattr(supervisor._Run, "take", take)

    def go(self) -> None:
        """Stop jumping, and run like an ordinary clock from now on."""
        self._condition: Callable[[list[supervisor.Worker]], bool] = lambda workers: False

    def jump_after(self, batches: int) -> None:
        """Jump past a run's limit once one of its processes has yielded this many batches."""
        self.jump_when(lambda workers: any(has_yielded(worker, batches) for worker in workers))

    def jump_when(self, condition: Callable[[list[supervisor.Worker]], bool]) -> None:
        """Jump after an event of a run's processes, once ``condition`` holds for them."""
        self._condition = condition


def has_yielded(worker: supervisor.Worker, batches: int) -> bool:
    return len(worker.outcome.batches) == batches
