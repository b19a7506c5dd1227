"""A source that runs a method under the time limit."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmark_adapters import method_files, own_data, reporting
from benchmark_adapters.execution import devices, isolation, progress, supervisor
from benchmark_adapters.execution.messages import MethodJob
from benchmark_adapters.execution.outcome import Outcome
from benchmark_adapters.execution.supervisor import ProcessJob
from benchmark_adapters.execution.watch import Bounds
from benchmark_adapters.runs.request import SamplingPlan
from benchmark_adapters.runs.sources.source import Making, Production, collected
from benchmark_adapters.types import Method
from leaderboard.records.record import Origin


@dataclass(frozen=True)
class MethodSource:
    """A method that samples images under the plan's time limit.

    Attributes:
        plan: how to run the method.
        reruns: id of the run that this one reruns, if any.
        decided_options: values for options that the method would otherwise choose itself. The
            record has the options of ``plan``.
    """

    plan: SamplingPlan
    reruns: str | None = None
    decided_options: Mapping[str, Any] = field(default_factory=dict)
    is_untrusted: bool = False

    @property
    def name(self) -> str:
        return self.plan.method.name

    @property
    def expected_ipc(self) -> int | None:
        return self.plan.ipc

    def produce(self, folder: Path) -> Callable[[], Production]:
        plan = replace(self.plan, options={**self.plan.options, **self.decided_options})
        title = f"{plan.track.name} / {plan.dataset.name} / {plan.method.name}"
        options = ", ".join(f"{name}={value}" for name, value in plan.options.items())
        reporting.detail(f"options: {options or 'none'}")
        # The file is read before the method runs, which could change it.
        facts = _file_facts(plan.method) | ({"isolated": "yes"} if plan.is_isolated else {})
        with progress.sampling(title, plan.ipc, plan.time_limit) as shown:
            outcome = supervisor.supervise(
                jobs(plan),
                plan.time_limit,
                folder,
                lambda outcome: shown.show_images(outcome.ipc * plan.processes),
                lambda event: shown.show_phase(event.name, event.done, event.total),
                Bounds(plan.memory),
                _prefix(plan, folder),
            )
        return partial(self._collect, outcome, facts, folder)

    def _collect(self, outcome: Outcome, facts: Mapping[str, str], folder: Path) -> Production:
        plan, making = self.plan, self._making(outcome, facts)
        reported = outcome.images, outcome.sampled
        try:
            production = collected(making, outcome, plan.dataset, plan.ipc, folder, reported)
        except OSError as error:
            reason = error.strerror or error
            message = f"the images could not be saved ({reason}); the run keeps them in batches"
            return Production(making, None, "error", message, interrupted=outcome.interrupted)
        shutil.rmtree(folder / supervisor.BATCHES, ignore_errors=True)
        return production

    def _making(self, outcome: Outcome, facts: Mapping[str, str]) -> Making:
        plan = self.plan
        return Making(
            method=plan.method.name,
            seed=plan.seed,
            ipc_requested=plan.ipc,
            time_limit=plan.time_limit,
            options=plan.options,
            explicit_options=plan.explicit_options,
            processes=plan.processes,
            shard=plan.shard,
            load=outcome.load,
            generate=outcome.generate,
            used=outcome.used,
            sampled=outcome.sampled,
            used_real_data=outcome.used_real_data,
            report=outcome.report,
            origin=Origin(reruns=self.reruns),
            facts=facts,
        )


def _prefix(plan: SamplingPlan, folder: Path) -> list[str]:
    """Return the beginning of the command lines of an isolated method; empty: it is not isolated.

    It can read the dataset, its own files, and whatever its options name.
    """
    if not plan.is_isolated:
        return []
    named = [str(value) for value in plan.options.values()]
    own = Path(plan.method.file).parent if plan.method.file else None
    readable = [plan.data, plan.dataset.folder, own, *named]
    return isolation.prefix("on", folder / supervisor.BATCHES, readable)


def _file_facts(method: Method) -> dict[str, str]:
    """Return the name and the hash of the file that a method comes from, for the record."""
    if not method.file:
        return {}
    file = Path(method.file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"method_file": file.name, "method_sha256": digest}


def jobs(plan: SamplingPlan) -> list[ProcessJob]:
    """Return the job of each process of a run.

    Process r of shard I of N generates part r * N + I, so that shards take turns like processes.
    """
    shard, shards = plan.shard
    job = MethodJob(
        method=method_files.reference(plan.method),
        track=plan.track.name,
        dataset=own_data.reference_of(plan.dataset),
        recipe=plan.track.recipe,
        seed=plan.seed,
        device=plan.device,
        ipc=plan.ipc,
        options=dict(plan.options),
        data=str(plan.data.absolute()) if plan.data else None,
        bundled=plan.track.bundled_data,
        real_data=plan.track.real_data,
        parts=shards * plan.processes,
    )
    return [
        ProcessJob(msgspec.structs.replace(job, part=rank * shards + shard), environment)
        for rank, environment in enumerate(devices.environments(plan.device, plan.processes))
    ]
