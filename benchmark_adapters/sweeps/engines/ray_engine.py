"""The engine for clusters: Ray decides where each task runs, on the machines that may work."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark_adapters.sweeps import tasks
from benchmark_adapters.sweeps.engines.engine import Lost, Task
from benchmark_adapters.sweeps.engines.machines import LABEL, Machines
from benchmark_adapters.sweeps.jobs import Job
from benchmark_adapters.sweeps.tasks import Answer
from benchmark_adapters.types import UserError, one_line

REASONS = {
    "NodeDiedError": "its machine is gone",
    "OutOfMemoryError": "its machine ran out of memory",
}
# How many times as much as the machines can do at once is handed to Ray.
AHEAD = 2.0


@dataclass(frozen=True)
class _Submitted:
    """A task that Ray has, the machines that may do it, and the share of one that it takes."""

    number: int
    task: Task
    places: tuple[str, ...]
    share: float


class Ray:
    """A cluster, or this machine. All tasks run on machines of one kind."""

    def __init__(self, address: str | None, workers: int | None, jobs: Sequence[Job]) -> None:
        self._ray = _imported()
        self._folder = tempfile.TemporaryDirectory(prefix="ddbench-")
        # Ray ties a task to machines when it gets it. So the others wait here: machines that join
        # later can have them.
        self._waiting: deque[tuple[int, Task]] = deque()
        self._submitted: dict[Any, _Submitted] = {}
        self._machines: Machines | None = None
        self._count = 0
        try:
            self._connect(address, workers)
            self._machines = Machines(self._ray, jobs)
        except BaseException:
            self.close()
            raise
        first = self._machines.first
        self.environment: Mapping[str, str | int | float] = first.node.environment
        self._cpus, self._gpus = first.cpus, first.gpus if self._machines.use_gpu else 0
        own = {LABEL: self._ray.get_runtime_context().get_node_id()}
        self._desk = self._ray.remote(num_cpus=0, label_selector=own)(_Desk).remote()

    def _connect(self, address: str | None, workers: int | None) -> None:
        """Connect to a cluster, or start one on this machine.

        Ray lets its workers import from the folder of the command, which may be a stranger's. So
        the command is in an empty one meanwhile.
        """
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            settings |= {"num_cpus": workers, "include_dashboard": False}
        try:
            with contextlib.chdir(self._folder.name):
                self._ray.init(address=address or "local", **settings)
        except (ConnectionError, RuntimeError, ValueError) as error:
            place = f"at {address}" if address else "on this machine"
            raise UserError(f"no Ray {place}: {one_line(error, 200)}") from None

    def submit(self, task: Task) -> int:
        self._count += 1
        self._waiting.append((self._count, task))
        return self._count

    def wait(self, seconds: float) -> list[tuple[int, Answer | Lost]]:
        assert self._machines
        self._machines.look()
        alive = self._machines.alive()
        self._take_back(alive)
        self._hand_out(alive)
        if not self._submitted and self._waiting:
            if self._machines.are_gone():
                numbers, self._waiting = [number for number, _ in self._waiting], deque()
                return [(number, Lost("no machine of the sweep is left")) for number in numbers]
            time.sleep(seconds)
        if not self._submitted:
            return []
        done, _ = self._ray.wait(list(self._submitted), timeout=seconds)
        return [(self._submitted.pop(call).number, self._answer(call)) for call in done]

    def _hand_out(self, alive: Sequence[str]) -> None:
        """Give Ray what can begin soon."""
        load = sum(one.share for one in self._submitted.values())
        while self._waiting and load < AHEAD * len(alive):
            number, task = self._waiting.popleft()
            # A method under a clock has a machine to itself.
            cpus = self._cpus if task.is_clocked else task.threads
            gpus = self._gpus if task.is_clocked else min(1, self._gpus)
            # Ray's parser takes a space for a part of the name.
            selector = {LABEL: f"in({','.join(alive)})"}
            remote = self._ray.remote(max_retries=0)(_work).options(
                num_cpus=cpus, num_gpus=gpus, label_selector=selector
            )
            call = remote.remote(self._desk, number, task.function, task.arguments)
            share = max(cpus / self._cpus, gpus / self._gpus if self._gpus else 0.0)
            self._submitted[call] = _Submitted(number, task, tuple(alive), share)
            load += share

    def _take_back(self, alive: Sequence[str]) -> None:
        """Take back what has not begun and is tied to machines that are gone."""
        stranded = [
            call for call, one in self._submitted.items() if not set(one.places) & set(alive)
        ]
        begun = self.at_work() if stranded else set()
        for call in stranded:
            one = self._submitted[call]
            # Ray itself reports those that have begun.
            if one.number not in begun:
                self._ray.cancel(call, force=True)
                del self._submitted[call]
                self._waiting.appendleft((one.number, one.task))

    def _answer(self, call: Any) -> Answer | Lost:
        errors = self._ray.exceptions
        try:
            answer: Answer = self._ray.get(call)
        except errors.RayTaskError as error:
            return Answer(failure=one_line(error.cause or error))
        except errors.RayError as error:
            return Lost(REASONS.get(type(error).__name__, "its worker was killed"))
        return answer

    def at_work(self) -> set[int]:
        numbers = [one.number for one in self._submitted.values()]
        begun: set[int] = self._ray.get(self._desk.begun.remote(numbers))
        return begun

    def close(self) -> None:
        if self._machines:
            self._machines.close()
        if self._ray.is_initialized():
            for call in self._submitted:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.cancel(call, force=True)
            self._ray.shutdown()
        self._folder.cleanup()


class _Desk:
    """An actor that knows which tasks have begun: Ray doesn't say it without its dashboard."""

    def __init__(self) -> None:
        self._begun: set[int] = set()

    def begin(self, number: int) -> None:
        """Note that a task has begun."""
        self._begun.add(number)

    def begun(self, numbers: Collection[int]) -> set[int]:
        """Return which of these tasks have begun, and forget all others."""
        self._begun &= set(numbers)
        return self._begun


def _work(
    desk: Any, number: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Answer:
    """Do a task in a worker of Ray."""
    desk.begin.remote(number)
    return tasks.answer(function, arguments)


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("--engine ray needs Ray: pip install 'ddbench[ray]'") from None
    return ray
