"""The machines of a Ray cluster: which of them may work, from the start or once they join."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_adapters import environment, reporting
from benchmark_adapters.runs import unfinished
from benchmark_adapters.sweeps import node as nodes
from benchmark_adapters.sweeps import tasks
from benchmark_adapters.sweeps.jobs import Job
from benchmark_adapters.sweeps.node import Node
from benchmark_adapters.types import UserError, one_line
from leaderboard.text import plural

# Ray's own label of a machine.
LABEL = "ray.io/node-id"
# Seconds between two looks for machines that joined, and to wait for one if none is left.
INTERVAL, PATIENCE = 5.0, 60.0


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster, and the numbers of CPUs and GPUs that it declares."""

    name: str
    cpus: int
    gpus: int
    node: Node

    @property
    def kind(self) -> tuple[object, ...]:
        """Return what must be the same for all steps of a run."""
        return tuple(sorted(self.node.environment.items())), self.cpus, self.gpus

    @property
    def text(self) -> str:
        """Return what tells it from machines of another kind."""
        return f"{self.cpus} CPUs ({self.node.environment['cpu']}) and {self.gpus} GPUs"


class Machines:
    """The machines that get tasks, by Ray's ids. All are of one kind."""

    def __init__(self, ray: Any, jobs: Sequence[Job]) -> None:
        """Check all machines of the cluster at the same time, and choose those of one kind.

        Raises:
            UserError: there is none, or none has enough CPUs.
        """
        self._ray = ray
        items = [job.item for job in jobs]
        wanted = {replace(one.request, seed=0, repeats=None) for one in items}
        runs = Path(items[0].folder, items[0].request.runs)
        self._token, self._probe = secrets.token_hex(8), runs / unfinished.FOLDER / "probe"
        self._arguments = sorted(wanted, key=repr), items[0].folder, self._probe, self._token
        self._checks: dict[Any, Mapping[str, Any]] = {}
        self._seen: set[str] = set()
        self._looked = self._was_alive = time.monotonic()
        try:
            self._check_new()
            wants_gpu = any(job.scoring.device != "cpu" for job in jobs)
            self._choose(wants_gpu, max(job.threads for job in jobs))
        except BaseException:
            self.close()
            raise

    def _choose(self, wants_gpu: bool, threads: int) -> None:
        """Choose the kind that has most machines, and say why others get no work."""
        found = dict(self._machine(described, call) for call, described in self._checks.items())
        self._checks.clear()
        self.close()
        self._names = {name for machine in found.values() for name in machine.node.has}
        for key, machine in list(found.items()):
            if lacks := lacking(machine.node, self._names):
                del found[key]
                reporting.say(f"{machine.name} gets no work: {lacks}")
        chosen = largest(found, wants_gpu)
        if not chosen:
            raise UserError("no machine of the cluster can be used")
        self.first = first = found[chosen[0]]
        self.usable = {key: machine for key, machine in found.items() if self._is_alike(machine)}
        if threads > first.cpus:
            raise UserError(f"--threads {threads}: the machines declare {first.cpus} CPUs each")
        self.use_gpu = wants_gpu and first.gpus > 0
        count = f"{len(chosen)} {plural(len(chosen), 'machine')}"
        reporting.say(f"on {count} with {first.cpus} CPUs and {first.gpus} GPUs each")

    def _check_new(self) -> None:
        """Begin to check machines that were not seen before."""
        remote = self._ray.remote(num_cpus=0, max_retries=0)(tasks.answer)
        new = [one for one in self._ray.nodes() if one["Alive"] and one["NodeID"] not in self._seen]
        if new:
            self._probe.parent.mkdir(parents=True, exist_ok=True)
            self._probe.write_text(self._token)
        for one in new:
            self._seen.add(one["NodeID"])
            pinned = remote.options(label_selector={LABEL: one["NodeID"]})
            self._checks[pinned.remote(nodes.check, self._arguments)] = one

    def look(self) -> None:
        """Look for machines that joined. Those of the same kind get work once they are checked."""
        if time.monotonic() - self._looked < INTERVAL:
            return
        self._looked = time.monotonic()
        self._check_new()
        if not self._checks:
            return
        done, _ = self._ray.wait(list(self._checks), num_returns=len(self._checks), timeout=0)
        for call in done:
            key, machine = self._machine(self._checks.pop(call), call)
            if lacks := lacking(machine.node, self._names):
                reporting.say(f"{machine.name} joined and gets no work: {lacks}")
            elif self._is_alike(machine):
                self.usable[key] = machine
                reporting.say(f"{machine.name} joined")
        if not self._checks:
            self.close()

    def _machine(self, described: Mapping[str, Any], call: Any) -> tuple[str, Machine]:
        try:
            answer = self._ray.get(call)
            node = answer.value if answer.failure is None else Node(lacks=answer.failure)
        # A machine without ddbench can fail in many ways.
        except self._ray.exceptions.RayError as error:
            node = Node(lacks=one_line(error, 200))
        has = described["Resources"]
        name = f"{described['NodeManagerHostname']} ({described['NodeManagerAddress']})"
        machine = Machine(name, int(has.get("CPU", 0)), int(has.get("GPU", 0)), node)
        return described["NodeID"], machine

    def _is_alike(self, machine: Machine) -> bool:
        """Return whether a machine is of the kind that gets work; say so if it isn't."""
        if machine.kind == self.first.kind:
            return True
        reporting.say(
            f"{machine.name} gets no work: a sweep needs machines that are alike, and it has "
            f"{machine.text} instead of {self.first.text}"
        )
        return False

    def alive(self) -> list[str]:
        """Return the machines that get tasks and are there."""
        alive = {one["NodeID"] for one in self._ray.nodes() if one["Alive"]}
        found = [key for key in self.usable if key in alive]
        if found:
            self._was_alive = time.monotonic()
        return found

    def are_gone(self) -> bool:
        """Return whether no machine has been there for a while, and none is about to join."""
        return not self._checks and time.monotonic() - self._was_alive > PATIENCE

    def close(self) -> None:
        """Remove what the checks needed in the runs folder."""
        self._probe.unlink(missing_ok=True)


def lacking(node: Node, known: Collection[str]) -> str:
    """Return why a machine can't work; empty: it can.

    Args:
        node: the machine.
        known: what other machines of the cluster have.
    """
    if node.lacks:
        return node.lacks
    versions = [*environment.versions(), "commit"]
    if text := nodes.different(node, unfinished.here(), versions):
        return text
    missing = sorted(set(known) - node.has)
    return f"it lacks what others have: {', '.join(missing)}" if missing else ""


def largest(found: Mapping[str, Machine], wants_gpu: bool) -> list[str]:
    """Return the machines of the kind that has the most of them, with GPUs if possible."""
    kinds: dict[tuple[object, ...], list[str]] = {}
    for key, machine in found.items():
        kinds.setdefault(machine.kind, []).append(key)

    def rank(keys: Sequence[str]) -> tuple[bool, int, int]:
        machine = found[keys[0]]
        return wants_gpu and machine.gpus > 0, len(keys), machine.cpus

    return max(kinds.values(), key=rank, default=[])
