"""The child process that measures how long students train on an image.

The parent's end is `benchmark_adapters.execution.sandbox.time_students`.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import nn

from benchmark_adapters import plugins
from benchmark_adapters.execution import child, devices
from benchmark_adapters.execution.child import Send
from benchmark_adapters.execution.messages import StudentTimed, TrialJob
from benchmark_adapters.scoring import training
from benchmark_adapters.types import Recipe, resolve

# Seconds that a measurement takes at least, and steps before it.
MIN_SECONDS, WARM_UP = 1.0, 2


def measure(job: TrialJob, send: Send) -> None:
    """Train each of the job's students on random images for about a second."""
    installed = plugins.build()
    dataset, recipe = installed.datasets.require(job.dataset), installed.recipes.require(job.recipe)
    device = devices.resolve(job.device)
    count = min(recipe.batch_size, job.images)
    shape = (count, dataset.channels, dataset.image_size, dataset.image_size)
    images, labels = torch.randn(shape), torch.arange(count) % dataset.num_classes
    for name in job.students:
        student = installed.students.require(name)
        width = recipe.width if name == recipe.student else None
        build = resolve(student.build)
        net = build(dataset.num_classes, dataset.image_size, dataset.channels, width)
        _train(net, images, labels, recipe, device, WARM_UP)
        steps, seconds = 1, 0.0
        while seconds < MIN_SECONDS:
            steps *= 2
            seconds = _train(net, images, labels, recipe, device, steps)
        send(StudentTimed(name, seconds / steps / count))


def _train(
    net: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    recipe: Recipe,
    device: str,
    steps: int,
) -> float:
    """Train for some steps of one batch each; return the seconds."""
    is_one_cycle = recipe.schedule == "one-cycle"
    short = replace(
        recipe,
        steps=steps if is_one_cycle else None,
        epochs=None if is_one_cycle else steps,
        lr_drop_after=None,
    )
    start = time.monotonic()
    training.train(net, images, labels, short, seed=0, device=device)
    return time.monotonic() - start


if __name__ == "__main__":
    child.serve_limited(TrialJob, measure)
