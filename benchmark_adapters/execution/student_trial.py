"""The child process that measures how long students train on an image.

The parent's end is `benchmark_adapters.execution.sandbox.time_students`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmark_adapters import own_data, plugins
from benchmark_adapters.execution import child, devices
from benchmark_adapters.execution.child import Send
from benchmark_adapters.execution.messages import StudentTimed, TrialJob
from benchmark_adapters.scoring import training
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.scoring.backends import TrainingBackend
from benchmark_adapters.types import Recipe, resolve

# Seconds that a measurement takes at least.
MIN_SECONDS = 1.0


def measure(job: TrialJob, send: Send) -> None:
    """Train each of the job's students on random images for at least a second."""
    installed = plugins.build()
    dataset, recipe = (
        own_data.find_for_job(installed, job.dataset),
        installed.recipes.require(job.recipe),
    )
    count = min(recipe.batch_size, job.images)
    images = torch.randn(count, dataset.channels, dataset.image_size, dataset.image_size)
    labels = torch.arange(count) % dataset.num_classes
    for name in job.students:
        student = installed.students.require(name)
        width = recipe.width if name == recipe.student else None
        net = resolve(student.build)(
            dataset.num_classes, dataset.image_size, dataset.channels, width
        )
        trial = _Trial(net, images, labels, recipe, devices.resolve(job.device), job.backend)
        trial.seconds(1)
        steps, seconds = 1, trial.seconds(1)
        while seconds < MIN_SECONDS:
            steps *= 2
            seconds = trial.seconds(steps)
        send(StudentTimed(name, seconds / steps / count))


@dataclass(frozen=True)
class _Trial:
    """The short training of one student, on a single batch."""

    student: nn.Module
    images: Tensor
    labels: Tensor
    recipe: Recipe
    device: str
    backend: Backend

    def seconds(self, steps: int) -> float:
        """Return how long some steps take, without compiling, which takes longer than a trial."""
        is_one_cycle = self.recipe.schedule == "one-cycle"
        recipe = replace(
            self.recipe,
            steps=steps if is_one_cycle else None,
            epochs=None if is_one_cycle else steps,
            lr_drop_after=None,
        )
        backend = TrainingBackend(
            self.student,
            torch.device(self.device),
            len(self.labels),
            passes=0,
            requested="reference" if self.backend == "reference" else "auto",
            tf32=recipe.tf32_convolutions,
        )
        start = time.monotonic()
        training.train(
            self.student, self.images, self.labels, recipe, 0, self.device, backend=backend
        )
        return time.monotonic() - start


if __name__ == "__main__":
    child.serve_limited(TrialJob, measure)
