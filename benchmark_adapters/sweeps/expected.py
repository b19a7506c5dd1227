"""How long the runs of a sweep are expected to take on one machine like this one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark_adapters.execution.sandbox import SandboxFailed
from benchmark_adapters.runs import scoring_time
from benchmark_adapters.runs.request import RunPlan, ScoringPlan
from benchmark_adapters.sweeps.finished import Finished

# Seconds to read and check a set, to put a record together, and to train a student that is too
# small to be worth measuring.
READING, FINISHING, SHORT = 60.0, 15.0, 15.0
# Seconds to join the shards of a set and check it.
JOINING = 15.0


@dataclass(frozen=True)
class Expected:
    """The seconds that the steps of a run take.

    Attributes:
        making: to make the set: as long as other sets of the method took; if there is none, the
            time limit.
        seed: to train one student with one seed.
        seeds: number of students and seeds.
    """

    making: float
    seed: float
    seeds: int

    @property
    def scoring(self) -> float:
        return self.seeds * self.seed + (FINISHING if self.seeds else 0.0)


def of_run(plan: RunPlan, finished: Finished) -> Expected:
    """Return what is expected of a run, or of one that makes or joins the shards of a set."""
    known = finished.seconds(plan)
    making = plan.sampling.time_limit if known is None else known
    if plan.scoring.request.shards > 1:
        making = JOINING
    return Expected(making, *_scoring(plan.scoring, plan.sampling.ipc))


def of_set(plan: ScoringPlan) -> Expected:
    """Return what is expected of a set whose size is not known before it is read."""
    ipc = plan.track.default_ipc
    return Expected(READING, *_scoring(plan, ipc))


def _scoring(plan: ScoringPlan, ipc: int | None) -> tuple[float, int]:
    """Return the seconds for one student and seed, and the number of both."""
    ipc = ipc or scoring_time.EXAMPLE_IPC
    plan = plan.for_ipc(ipc)
    count = len(plan.seeds) * len(plan.students)
    passes = plan.recipe.image_passes(ipc * plan.dataset.num_classes)
    if not count or passes < scoring_time.MIN_PASSES:
        return SHORT, count
    try:
        measured = scoring_time.measure(plan, ipc).seconds_per_pass
    except SandboxFailed:
        return SHORT, count
    return sum(measured.values()) / len(measured) * passes, count


def total(all_expected: Sequence[Expected]) -> tuple[float, float]:
    """Return the seconds for making and for scoring all sets."""
    return sum(one.making for one in all_expected), sum(one.scoring for one in all_expected)
