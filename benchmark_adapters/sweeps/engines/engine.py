"""The interface of engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from benchmark_adapters.sweeps.tasks import Answer


@dataclass(frozen=True)
class Task:
    """A call of a function of `benchmark_adapters.sweeps.tasks`.

    Attributes:
        is_clocked: whether a method runs under its time limit: then nothing else may run on that
            machine, or on its GPUs.
        threads: CPU threads that any other task uses.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    is_clocked: bool = False
    threads: int = 1


@dataclass(frozen=True)
class Lost:
    """A task that has no answer, because its worker or its machine is gone."""

    reason: str


class Engine(Protocol):
    """A place where tasks run, in an order that it chooses."""

    @property
    def environment(self) -> Mapping[str, str | int | float]:
        """What `unfinished.here` returns on each machine that gets tasks. All are alike."""

    def submit(self, task: Task) -> int:
        """Take a task; return the number under which `wait` returns its answer."""

    def wait(self, seconds: float) -> list[tuple[int, Answer | Lost]]:
        """Return the answers that have arrived, once there is one or so many seconds are over."""

    def at_work(self) -> set[int]:
        """Return the numbers of the tasks that have begun, as far as it is known."""

    def close(self) -> None:
        """Kill what still runs."""
