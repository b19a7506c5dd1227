"""The engine for clusters: Ray decides where each task runs, and this module which machines may."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_adapters import environment, reporting
from benchmark_adapters.runs import unfinished
from benchmark_adapters.sweeps import node as nodes
from benchmark_adapters.sweeps import tasks
from benchmark_adapters.sweeps.engines.engine import Lost, Task
from benchmark_adapters.sweeps.jobs import Job
from benchmark_adapters.sweeps.node import Node
from benchmark_adapters.sweeps.tasks import Answer
from benchmark_adapters.types import UserError, one_line
from leaderboard.text import plural

# Ray's own label of a machine.
LABEL = "ray.io/node-id"
REASONS = {
    "NodeDiedError": "its machine is gone",
    "OutOfMemoryError": "its machine ran out of memory",
}


@dataclass(frozen=True)
class _Machine:
    """A machine of the cluster, and the numbers of CPUs and GPUs that it declares."""

    name: str
    cpus: int
    gpus: int
    node: Node

    @property
    def kind(self) -> tuple[object, ...]:
        """Return what must be the same for all steps of a run."""
        return tuple(sorted(self.node.environment.items())), self.cpus, self.gpus


class Ray:
    """A cluster, or this machine. All tasks run on machines of one kind."""

    def __init__(self, address: str | None, workers: int | None, jobs: Sequence[Job]) -> None:
        self._ray = _imported()
        self._folder = tempfile.TemporaryDirectory(prefix="ddbench-")
        self._submitted: dict[Any, int] = {}
        self._lost: list[int] = []
        self._count = 0
        try:
            self._connect(address, workers)
            self._machines = self._usable(jobs)
        except BaseException:
            self.close()
            raise
        first = next(iter(self._machines.values()))
        self.environment: Mapping[str, str | int | float] = first.node.environment
        self._cpus, self._gpus = first.cpus, first.gpus
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

    def _usable(self, jobs: Sequence[Job]) -> dict[str, _Machine]:
        """Return the machines that get tasks, by Ray's ids, and say why others get none.

        Raises:
            UserError: there is none, or none has enough CPUs.
        """
        found = self._checked(jobs)
        known = {name for machine in found.values() for name in machine.node.has}
        for key, machine in list(found.items()):
            lacks = machine.node.lacks or _lacking(machine.node, known)
            if lacks:
                del found[key]
                reporting.say(f"{machine.name} gets no work: {lacks}")
        chosen = _largest(found, wants_gpu := any(job.scoring.device != "cpu" for job in jobs))
        for key in found.keys() - chosen:
            machine = found[key]
            reporting.say(
                f"{machine.name} gets no work: a sweep needs machines that are alike, and it has "
                f"{machine.cpus} CPUs ({machine.node.environment['cpu']}) and {machine.gpus} GPUs"
            )
        if not chosen:
            raise UserError("no machine of the cluster can be used")
        first, threads = found[chosen[0]], max(job.threads for job in jobs)
        if threads > first.cpus:
            raise UserError(f"--threads {threads}: the machines declare {first.cpus} CPUs each")
        self._wants_gpu = wants_gpu and first.gpus > 0
        count = f"{len(chosen)} {plural(len(chosen), 'machine')}"
        reporting.say(f"on {count} with {first.cpus} CPUs and {first.gpus} GPUs each")
        return {key: found[key] for key in chosen}

    def _checked(self, jobs: Sequence[Job]) -> dict[str, _Machine]:
        """Check all machines at the same time."""
        items = [job.item for job in jobs]
        wanted = {replace(one.request, seed=0, repeats=None) for one in items}
        runs = Path(items[0].folder, items[0].request.runs)
        token, probe = secrets.token_hex(8), runs / unfinished.FOLDER / "probe"
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_text(token)
        remote = self._ray.remote(num_cpus=0, max_retries=0)(tasks.answer)
        alive = [one for one in self._ray.nodes() if one["Alive"]]
        arguments = sorted(wanted, key=repr), items[0].folder, probe, token
        calls = [
            remote.options(label_selector={LABEL: one["NodeID"]}).remote(nodes.check, arguments)
            for one in alive
        ]
        try:
            return {
                one["NodeID"]: self._machine(one, call)
                for one, call in zip(alive, calls, strict=True)
            }
        finally:
            probe.unlink(missing_ok=True)

    def _machine(self, described: Mapping[str, Any], call: Any) -> _Machine:
        try:
            answer = self._ray.get(call)
            node = answer.value if answer.failure is None else Node(lacks=answer.failure)
        # A machine without ddbench can fail in many ways.
        except self._ray.exceptions.RayError as error:
            node = Node(lacks=one_line(error, 200))
        has = described["Resources"]
        name = f"{described['NodeManagerHostname']} ({described['NodeManagerAddress']})"
        return _Machine(name, int(has.get("CPU", 0)), int(has.get("GPU", 0)), node)

    def _alive(self) -> list[str]:
        alive = {one["NodeID"] for one in self._ray.nodes() if one["Alive"]}
        return [key for key in self._machines if key in alive]

    def submit(self, task: Task) -> int:
        self._count += 1
        alive = self._alive()
        if not alive:
            self._lost.append(self._count)
            return self._count
        # A method under a clock has a machine to itself.
        cpus = self._cpus if task.is_clocked else task.threads
        gpus = (self._gpus if task.is_clocked else 1) if self._wants_gpu else 0
        # Ray's parser takes a space for a part of the name.
        selector = {LABEL: f"in({','.join(alive)})"}
        remote = self._ray.remote(max_retries=0)(_work).options(
            num_cpus=cpus, num_gpus=gpus, label_selector=selector
        )
        call = remote.remote(self._desk, self._count, task.function, task.arguments)
        self._submitted[call] = self._count
        return self._count

    def wait(self, seconds: float) -> list[tuple[int, Answer | Lost]]:
        gone = "no machine of the sweep is left"
        answers: list[tuple[int, Answer | Lost]] = [(number, Lost(gone)) for number in self._lost]
        self._lost = []
        if answers or not self._submitted:
            return answers
        done, rest = self._ray.wait(list(self._submitted), timeout=seconds)
        answers = [(self._submitted.pop(call), self._answer(call)) for call in done]
        if not done and not self._alive():
            # Ray would wait for machines that never come.
            for call in rest:
                self._ray.cancel(call, force=True)
                answers.append((self._submitted.pop(call), Lost(gone)))
        return answers

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
        begun: set[int] = self._ray.get(self._desk.begun.remote())
        return begun & set(self._submitted.values())

    def close(self) -> None:
        if self._ray.is_initialized():
            for call in self._submitted:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.cancel(call, force=True)
            self._ray.shutdown()
        self._folder.cleanup()


def _largest(found: Mapping[str, _Machine], wants_gpu: bool) -> list[str]:
    """Return the machines of the kind that has the most of them, with GPUs if possible."""
    kinds: dict[tuple[object, ...], list[str]] = {}
    for key, machine in found.items():
        kinds.setdefault(machine.kind, []).append(key)

    def rank(keys: Sequence[str]) -> tuple[bool, int, int]:
        machine = found[keys[0]]
        return wants_gpu and machine.gpus > 0, len(keys), machine.cpus

    return max(kinds.values(), key=rank, default=[])


class _Desk:
    """An actor that knows which tasks have begun: Ray doesn't say it without its dashboard."""

    def __init__(self) -> None:
        self._begun: set[int] = set()

    def begin(self, number: int) -> None:
        """Note that a task has begun."""
        self._begun.add(number)

    def begun(self) -> set[int]:
        """Return the numbers of all tasks that have begun."""
        return self._begun


def _work(
    desk: Any, number: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Answer:
    """Do a task in a worker of Ray."""
    desk.begin.remote(number)
    return tasks.answer(function, arguments)


def _lacking(node: Node, known: set[str]) -> str:
    """Return what a machine has not, or has in another version than this one."""
    versions = [*environment.versions(), "commit"]
    if text := nodes.different(node, unfinished.here(), versions):
        return text
    missing = sorted(known - node.has)
    return f"it lacks what others have: {', '.join(missing)}" if missing else ""


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("--engine ray needs Ray: pip install 'ddbench[ray]'") from None
    return ray
