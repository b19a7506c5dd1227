"""Run short trials of a method in real processes, as in a run."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from benchmark_adapters.execution import supervisor
from benchmark_adapters.execution.batches import CorruptBatchError, collect
from benchmark_adapters.execution.outcome import Outcome
from benchmark_adapters.formats import native
from benchmark_adapters.runs.redaction import redact_paths
from benchmark_adapters.runs.request import SamplingPlan
from benchmark_adapters.runs.sources.method import jobs
from benchmark_adapters.types import DistilledSet

# An odd number, so that a method that adds a copy of each sampled image generates one too many, and
# both of two parts have work.
IPC = 3
# Time limit of the endless trial: a multiple of the first trial's time, plus a margin in seconds.
LIMIT_FACTOR, LIMIT_MARGIN = 2, 2.0


class TrialFailed(Exception):
    """Raised if the method did something wrong.

    The message says what to do, and ``log`` is the output of the method.
    """

    def __init__(self, text: str, log: str = "") -> None:
        super().__init__(text)
        self.log = log


class TrialRefused(TrialFailed):
    """Raised if the method refuses the task, with a `UserError`."""


@dataclass(frozen=True)
class Trial:
    """The result of a trial, which has one process in most cases.

    Attributes:
        outcomes: the outcome of each process.
        distilled: the set that a run would save, with its images on disk.
        seconds: duration of the trial.
        limit: time limit of each process in seconds.
    """

    outcomes: list[Outcome]
    distilled: DistilledSet
    seconds: float
    limit: float

    @property
    def outcome(self) -> Outcome:
        return self.outcomes[0]

    @property
    def is_cut(self) -> bool:
        return any(outcome.end == "limit" for outcome in self.outcomes)

    @property
    def when(self) -> str:
        return f"by the time limit of {self.limit:g} s" if self.is_cut else "when it stopped"

    @property
    def advice(self) -> str:
        if self.is_cut:
            return "yield earlier, or raise --time-limit"
        return f"continue until there are {IPC} images of each class"

    def complete(self) -> Trial:
        """Return this trial.

        Raises:
            TrialFailed: the trial generated fewer images than requested.
        """
        if self.distilled.ipc < IPC:
            raise TrialFailed(
                f"{self.distilled.ipc} of {IPC} images per class {self.when}: {self.advice}"
            )
        return self


class TrialRunner:
    """The trials of a method, each run when it is first needed, with all files in ``folder``."""

    def __init__(self, plan: SamplingPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder

    @cached_property
    def first(self) -> Trial:
        return self.run(self.plan)

    @cached_property
    def limit(self) -> float:
        """Return the time limit of the endless trial: long enough to see how the method ends."""
        needed = LIMIT_FACTOR * (self.first.outcome.last or 0.0) + LIMIT_MARGIN
        return round(min(self.plan.time_limit, needed), 1)

    @cached_property
    def endless(self) -> Trial:
        try:
            return self.run(replace(self.plan, ipc=None, time_limit=self.limit))
        except TrialFailed as error:
            raise TrialFailed(f"with task.ipc=None, {error}", error.log) from None

    def run(self, *parts: SamplingPlan) -> Trial:
        """Run one process after another, each for one part of a set, like runs with --shard.

        Raises:
            TrialFailed: the method failed, or its batches don't fit the dataset.
        """
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        began = time.monotonic()
        outcomes: list[Outcome] = []
        for number, plan in enumerate(parts):
            outcomes.append(_outcome(plan, folder / str(number)))
            # The other parts would reach the limit too.
            if outcomes[-1].end == "limit":
                break
        seconds = time.monotonic() - began
        files = [files for outcome in outcomes for files in outcome.files]
        try:
            distilled = collect(files, self.plan.dataset, parts[0].ipc, folder / native.IMAGES)
        except CorruptBatchError as error:
            raise TrialFailed(redact_paths(str(error))) from None
        return Trial(outcomes, distilled, seconds, parts[0].time_limit)

    def whole(self, plan: SamplingPlan) -> DistilledSet:
        """Run another trial and return its set, which has as many images as requested.

        Raises:
            TrialFailed: there were fewer images, the method failed, or its batches don't fit the
                dataset.
        """
        return self.run(plan).complete().distilled


def _outcome(plan: SamplingPlan, folder: Path) -> Outcome:
    folder.mkdir()
    outcome = supervisor.supervise(jobs(plan), plan.time_limit, folder)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.is_failed:
        kind = TrialRefused if outcome.is_refusal else TrialFailed
        raise kind(outcome.message, (folder / "log.txt").read_text(encoding="utf-8"))
    return outcome
