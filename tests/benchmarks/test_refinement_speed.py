"""Speed of the refinement, with compiled networks and with eager ones, for three sizes of sets."""

import pytest
import torch

from benchmark_adapters import datasets, memory
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring.recipes import DSA
from benchmark_adapters.types import Task
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.pyramid import Pyramid
from gdd_plugin.improvement.real_images import RealImages
from gdd_plugin.improvement.refine import Refinement, settings_for

pytestmark = pytest.mark.bench
LIMIT = 600


def make_refinement(ipc, compiled):
    """Return a refinement of noise, with the bundled real images and the settings of a run."""
    # As in the processes of methods.
    memory.keep_freed_memory()
    task = Task(
        "fashion-mnist",
        FASHION_MNIST,
        0,
        "cpu",
        ipc,
        {},
        lambda: datasets.load(FASHION_MNIST, "train", bundled=True),
        lambda **values: None,
        recipe=DSA,
    )
    real = RealImages.of(task, holds_out=False)
    labels = torch.arange(10).repeat_interleave(ipc)
    pyramid = Pyramid(torch.randn(len(labels), 1, 28, 28), real.clamp)
    settings = settings_for("pixels", len(labels), compiled=True)
    return Refinement(Networks(task, compiled), real, pyramid, labels, 0, settings)


@pytest.mark.parametrize("ipc", [1, 10, 50])
def test_refinement_with_compiled_networks_against_eager_ones(alternate, show, ipc):
    ours, eager = make_refinement(ipc, True), make_refinement(ipc, False)
    seconds = alternate(lambda: ours.visit(None), lambda: eager.visit(None), rounds=3)
    steps = [LIMIT / each * ours.settings.image_steps for each in seconds]
    show(
        f"steps of the refinement in {LIMIT} s, IPC {ipc}",
        f"{steps[0]:.0f}",
        f"{steps[1]:.0f} (eager)",
        f"{steps[0] / steps[1]:.2f}",
        "faster",
    )
    assert steps[0] > steps[1]
