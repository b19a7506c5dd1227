"""A source that runs a method under the time limit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from benchmark_adapters import method_files, own_data, reporting
from benchmark_adapters.execution import devices, integrity, isolation, progress, supervisor
from benchmark_adapters.execution.messages import MethodJob
from benchmark_adapters.execution.outcome import Outcome
from benchmark_adapters.execution.supervisor import ProcessJob
from benchmark_adapters.execution.watch import Bounds
from benchmark_adapters.runs.request import SamplingPlan
from benchmark_adapters.runs.sources import sessions
from benchmark_adapters.runs.sources.sessions import Sampled
from benchmark_adapters.runs.sources.source import Making, Production, collected
from benchmark_adapters.types import Method
from leaderboard.records import store
from leaderboard.records.record import Origin


@dataclass(frozen=True)
class MethodSource:
    """A method that samples images under the plan's time limit.

    Attributes:
        plan: how to run the method.
        reruns: id of the run that this one reruns, if any.
        resumes: id of the interrupted run that this one goes on from, if any.
        decided_options: values for options that the method would otherwise choose itself. The
            record has the options of ``plan``.
    """

    plan: SamplingPlan
    reruns: str | None = None
    decided_options: Mapping[str, Any] = field(default_factory=dict)
    resumes: str | None = None
    is_untrusted: bool = False

    @property
    def name(self) -> str:
        return self.plan.method.name

    @property
    def expected_ipc(self) -> int | None:
        return self.plan.ipc

    def produce(self, folder: Path, work: Path) -> Callable[[], Production]:
        plan = replace(self.plan, options={**self.plan.options, **self.decided_options})
        options = ", ".join(f"{name}={value}" for name, value in plan.options.items())
        reporting.detail(f"options: {options or 'none'}")
        # The file is read before the method runs, which could change it.
        facts = _file_facts(plan.method) | ({"isolated": "yes"} if plan.is_isolated else {})
        sampled, changed = sessions.read(work, plan), list[Path]()
        if rest := sessions.rest(plan, sampled):
            code = integrity.snapshot()
            sampled.append(_sample(rest, work, len(sampled) + 1))
            changed = integrity.changed(code)
        collect = partial(self._collect, sampled, facts, folder, work)
        return lambda: replace(collect(), changed_code=tuple(changed))

    def _collect(
        self, sampled: Sequence[Sampled], facts: Mapping[str, str], folder: Path, work: Path
    ) -> Production:
        plan, outcome = self.plan, sessions.combined(self.plan, sampled)
        making = self._making(outcome, sampled, facts)
        reported = sessions.reported(sampled)
        sessions.write_log(work, folder / "log.txt")
        try:
            return collected(making, outcome, plan.dataset, plan.ipc, folder, reported)
        except OSError as error:
            message = (
                f"the images could not be saved ({error.strerror or error}); their batches are "
                f"kept: go on with `ddbench resume {store.run_id(folder)}` where there is room"
            )
            return Production(making, None, "error", message, interrupted=True)

    def _making(
        self, outcome: Outcome, sampled: Sequence[Sampled], facts: Mapping[str, str]
    ) -> Making:
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
            origin=Origin(reruns=self.reruns, resumes=self.resumes),
            facts=facts,
            sessions=tuple(one.about for one in sampled) if len(sampled) > 1 else (),
        )


def _sample(plan: SamplingPlan, work: Path, number: int) -> Sampled:
    """Run the method's processes in a new session."""
    folder, session = sessions.begin(work, number, plan.seed)
    title = f"{plan.track.name} / {plan.dataset.name} / {plan.method.name}"
    with progress.sampling(title, plan.ipc, round(plan.time_limit, 1)) as shown:
        outcome = supervisor.supervise(
            jobs(plan),
            plan.time_limit,
            folder,
            lambda outcome: shown.show_images(outcome.ipc * plan.processes),
            lambda event: shown.show_phase(event.name, event.done, event.total),
            **protection(plan, folder),
        )
    return sessions.ended(session, outcome)


class Protection(TypedDict):
    """The last arguments of `supervisor.supervise`."""

    bounds: Bounds
    prefix: list[str]


def protection(plan: SamplingPlan, folder: Path) -> Protection:
    """Return what a method in ``folder`` may use, and how it is isolated.

    An isolated method can read the dataset, its own files, and whatever its options name.
    """
    if not plan.is_isolated:
        return {"bounds": Bounds(plan.memory), "prefix": []}
    named = [str(value) for value in plan.options.values()]
    own = Path(plan.method.file).parent if plan.method.file else None
    readable = [plan.data, plan.dataset.folder, own, *named]
    prefix = isolation.prefix("on", folder / supervisor.BATCHES, readable)
    return {"bounds": Bounds(plan.memory), "prefix": prefix}


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
        memory=plan.memory,
    )
    return [
        ProcessJob(msgspec.structs.replace(job, part=rank * shards + shard), environment)
        for rank, environment in enumerate(devices.environments(plan.device, plan.processes))
    ]
