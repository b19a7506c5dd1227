"""Tell beforehand how long the students of a set will train."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from benchmark_adapters import listening, own_data, reporting
from benchmark_adapters.execution import devices, sandbox
from benchmark_adapters.execution.messages import TrialJob
from benchmark_adapters.execution.sandbox import SandboxFailed
from benchmark_adapters.runs.request import ScoringPlan
from benchmark_adapters.scoring.backend_names import Backend
from leaderboard.text import duration, plural

# Image passes from which the time is measured. Fewer take a few minutes at most on two CPU cores.
MIN_PASSES = 50_000
# Images per class that an estimate is given for if their number is not known.
EXAMPLE_IPC = 100


@dataclass(frozen=True)
class ScoringTime:
    """How long students train.

    Attributes:
        plan: how a set is scored.
        seconds_per_pass: seconds per image that is shown to a student, by student. Compiled
            students, which the measurement leaves out, are faster.
        processes: number of processes that share the students and seeds.
    """

    plan: ScoringPlan
    seconds_per_pass: dict[str, float]
    processes: int

    def seconds(self, ipc: int) -> float:
        """Return the seconds for a set with ``ipc`` images per class."""
        plan = self.plan.for_ipc(ipc)
        images = ipc * plan.dataset.num_classes
        each = sum(self.seconds_per_pass.values()) * plan.recipe.image_passes(images)
        # The slowest process counts.
        share = math.ceil(len(plan.seeds) * len(plan.students) / self.processes)
        return each / len(plan.students) * share


def measure(plan: ScoringPlan, ipc: int | None) -> ScoringTime:
    """Train each student of a plan for about a second.

    Raises:
        UserError: a name is unknown, or the device is not available.
        SandboxFailed: the process that measures failed.
    """
    plan = plan.for_ipc(ipc or EXAMPLE_IPC)
    images = (ipc or EXAMPLE_IPC) * plan.dataset.num_classes
    students = tuple(student.name for student in plan.students)
    processes = len(devices.scoring_environments(plan.device, len(students) * len(plan.seeds)))
    batch = min(images, plan.recipe.batch_size)
    names = own_data.reference_of(plan.dataset), plan.recipe.name
    measured = _time_students(*names, students, plan.device, plan.backend, batch)
    return ScoringTime(plan, measured, processes)


@functools.cache
def _time_students(
    dataset: str, recipe: str, students: tuple[str, ...], device: str, backend: Backend, images: int
) -> dict[str, float]:
    """Measure once, because a folder of teams is scored by one plan."""
    job = TrialJob(dataset, recipe, list(students), device, backend, images)
    return sandbox.time_students(job)


def announce(plan: ScoringPlan, ipc: int | None) -> None:
    """Print how long scoring will take, on stderr; ``ipc`` of None: it is not known yet."""
    # Only people want to know.
    if not plan.seeds or listening.listener():
        return
    scored = plan.for_ipc(ipc or EXAMPLE_IPC)
    passes = scored.recipe.image_passes((ipc or EXAMPLE_IPC) * plan.dataset.num_classes)
    count = len(scored.seeds) * len(scored.students)
    if ipc is None:
        text = f"scoring {EXAMPLE_IPC} images per class"
    else:
        text = f"scoring {count} {plural(count, 'student')}, {passes:,} image passes each,"
    if ipc is not None and passes * count < MIN_PASSES:
        took = "takes a few minutes at most with small students"
    else:
        try:
            took = f"takes up to {duration(measure(plan, ipc).seconds(ipc or EXAMPLE_IPC))}"
        except SandboxFailed as error:
            took = f"could not be timed: {error}"
    reporting.say(f"{text} {took}")
