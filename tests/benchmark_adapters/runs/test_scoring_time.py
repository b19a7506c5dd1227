"""What is said beforehand about the time that scoring takes."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from benchmark_adapters import plugins
from benchmark_adapters.execution.sandbox import SandboxFailed
from benchmark_adapters.runs import scoring_time
from benchmark_adapters.runs.request import Request, plan_scoring
from benchmark_adapters.runs.scoring_time import ScoringTime
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.recipes import DSA_STEPS, ECCV2024, QUICKSTART


@pytest.fixture(scope="module")
def plan():
    (plan,) = plan_scoring(Request(track="quickstart", device="cpu"), plugins.build())
    return plan


@pytest.mark.parametrize(
    ("recipe", "images", "passes"),
    [
        (ECCV2024, 300, 1001 * 300),
        (QUICKSTART, 200, 100 * 64),
        (QUICKSTART, 10, 100 * 10),
        # Two batches in each epoch.
        (DSA_STEPS, 500, 1001 * 500),
        (DSA_STEPS, 5000, 101 * 5000),
    ],
)
def test_image_passes_of_recipes(recipe, images, passes):
    assert recipe.image_passes(images) == passes


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_seconds_grow_with_seeds_students_and_images_and_shrink_with_gpus(plan, processes):
    two = tuple(plugins.build().students.require(name) for name in ("convnet3", "mlp"))
    seeds, ipc = (0, 1, 2, 3), 5
    many = replace(plan, students=two, seeds=seeds, recipe=ECCV2024, follows_track=False)
    estimate = ScoringTime(many, {"convnet3": 2e-3, "mlp": 1e-3}, processes)
    expected = 8 // processes * 1.5e-3 * 1001 * 10 * ipc
    assert estimate.seconds(ipc) == pytest.approx(expected)


@pytest.mark.slow
def test_measured_time_is_that_of_training(plan, clothes):
    """Machines are noisy, so a factor of 3 is allowed."""
    seconds = scoring_time.measure(plan, 20).seconds(20) / len(plan.seeds)
    images, labels = (part[:200] for part in clothes)
    net = students.build("convnet3", 10, 28, 1, 64)
    training.train(net, images, labels, QUICKSTART, 0, epochs=1)
    start = time.monotonic()
    # A fifth of the recipe's steps.
    training.train(net, images, labels, QUICKSTART, 0, epochs=5)
    took = 5 * (time.monotonic() - start)
    assert took / 3 < seconds < 3 * took


def test_short_scoring_is_not_measured(plan, capsys, monkeypatch):
    monkeypatch.setattr(scoring_time, "measure", lambda plan, ipc: pytest.fail("measured"))
    scoring_time.announce(plan, 20)
    assert capsys.readouterr().err == (
        "scoring 3 students, 6,400 image passes each, takes a few minutes at most with small "
        "students\n"
    )
    scoring_time.announce(replace(plan, seeds=(), follows_track=False), 20)
    assert capsys.readouterr().err == ""


def test_long_scoring_is_announced(plan, capsys, monkeypatch):
    long = replace(plan, recipe=ECCV2024)
    measured = ScoringTime(long, {"convnet3": 2e-3}, 1)
    monkeypatch.setattr(scoring_time, "measure", lambda plan, ipc: measured)
    scoring_time.announce(long, 20)
    assert capsys.readouterr().err == (
        "scoring 3 students, 200,200 image passes each, takes up to 20 min\n"
    )
    scoring_time.announce(long, None)
    assert capsys.readouterr().err == "scoring 100 images per class takes up to 1.7 h\n"


def test_failed_measurement_does_not_stop_the_run(plan, capsys, monkeypatch):
    def fail(plan, ipc):
        raise SandboxFailed("memory", "its process failed with MemoryError")

    monkeypatch.setattr(scoring_time, "measure", fail)
    scoring_time.announce(replace(plan, recipe=ECCV2024), 20)
    assert "could not be timed: its process failed" in capsys.readouterr().err


def test_importing_it_does_not_import_torch():
    """The command stays quick until a child process does the work."""
    script = "import sys, benchmark_adapters.runs.scoring_time; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    assert torch.__version__
