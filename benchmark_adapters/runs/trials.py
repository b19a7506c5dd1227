"""Short trials of a method, in real processes as runs would make them."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from benchmark_adapters.execution import supervisor
from benchmark_adapters.execution.batches import CorruptBatchError, collect
from benchmark_adapters.execution.supervisor import Outcome
from benchmark_adapters.formats import native
from benchmark_adapters.runs.redaction import redact_paths
from benchmark_adapters.runs.request import SamplingPlan
from benchmark_adapters.runs.sources.method import jobs
from benchmark_adapters.types import DistilledSet

# Odd, so that sampled images with a copy each give one too many, and two parts both have work.
IPC = 3
# The trial that is cut may take so many times the first one's seconds, and so many seconds more.
LIMIT_FACTOR, LIMIT_MARGIN = 2, 2.0


class TrialFailed(Exception):
    """The method did something wrong; the text says what to do, ``log`` what it printed."""

    def __init__(self, text: str, log: str = "") -> None:
        super().__init__(text)
        self.log = log


@dataclass(frozen=True)
class Trial:
    """How the method's processes, mostly one, ended.

    Attributes:
        distilled: the set that a run would keep, its images on disk.
        seconds: that all of it took.
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
        return f"by the limit of {self.limit:g} s" if self.is_cut else "when it ended"

    @property
    def advice(self) -> str:
        if self.is_cut:
            return "yield earlier, or give it more by --time-limit"
        return f"go on until there are {IPC} of each class"

    def complete(self) -> Trial:
        """Return this trial.

        Raises:
            TrialFailed: it made fewer images than were asked for.
        """
        if self.distilled.ipc < IPC:
            raise TrialFailed(
                f"{self.distilled.ipc} of {IPC} images per class {self.when}: {self.advice}"
            )
        return self


class TrialRunner:
    """The trials of a method, each made when it is first needed, with all files in ``folder``."""

    def __init__(self, plan: SamplingPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder

    @cached_property
    def first(self) -> Trial:
        return self.run(self.plan)

    @cached_property
    def limit(self) -> float:
        """Return the limit of the trial that is cut: enough to see how the method ends."""
        needed = LIMIT_FACTOR * (self.first.outcome.last or 0.0) + LIMIT_MARGIN
        return round(min(self.plan.time_limit, needed), 1)

    @cached_property
    def endless(self) -> Trial:
        try:
            return self.run(replace(self.plan, ipc=None, time_limit=self.limit))
        except TrialFailed as error:
            raise TrialFailed(f"with task.ipc None {error}", error.log) from None

    def run(self, *parts: SamplingPlan) -> Trial:
        """Run one process after another, each for a part of one set, as runs with --shard do.

        Raises:
            TrialFailed: the method broke down, or its batches are not of the dataset.
        """
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        began = time.monotonic()
        outcomes: list[Outcome] = []
        for number, plan in enumerate(parts):
            outcomes.append(_outcome(plan, folder / str(number)))
            if outcomes[-1].end == "limit":  # so will the others
                break
        seconds = time.monotonic() - began
        files = [files for outcome in outcomes for files in outcome.files]
        try:
            distilled = collect(files, self.plan.dataset, parts[0].ipc, folder / native.IMAGES)
        except CorruptBatchError as error:
            raise TrialFailed(redact_paths(str(error))) from None
        return Trial(outcomes, distilled, seconds, parts[0].time_limit)

    def whole(self, plan: SamplingPlan) -> DistilledSet:
        """Return as many images as were asked for, from another trial.

        Raises:
            TrialFailed: there were fewer, or as for `run`.
        """
        return self.run(plan).complete().distilled


def _outcome(plan: SamplingPlan, folder: Path) -> Outcome:
    folder.mkdir()
    outcome = supervisor.supervise(jobs(plan), plan.time_limit, folder)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.is_failed:
        raise TrialFailed(outcome.message, (folder / "log.txt").read_text(encoding="utf-8"))
    return outcome
