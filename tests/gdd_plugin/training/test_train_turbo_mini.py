"""Tests of the complete training of turbo-mini, at a thousandth of its length."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import small_training
from PIL import Image
from project import wait_for
from small_training import (
    SHORT,
    SHORTEST,
    SMALL,
    assert_equal_weights,
)

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.types import UserError
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator
from gdd_plugin.training import loop
from gdd_plugin.training.stages import student
from gdd_plugin.training.train_turbo_mini import train_turbo_mini

pytestmark = pytest.mark.usefixtures("one_thread", "no_plots")


def test_train_saves_a_model_and_its_metadata(trained_model):
    metadata = json.loads((trained_model / "training.json").read_text())
    assert metadata["settings"]["seed"] == 3
    assert metadata["border"] == 2
    assert metadata["trained_on"] == "fashion-mnist train, without the last 20 images of each class"
    assert set(metadata["seconds"]) == {"features", "autoencoder", "teacher", "student"}
    logged = list(csv.DictReader((trained_model / "log.csv").open()))
    assert {row["loss"] for row in logged if row["stage"] == "student"} == {
        "loss",
        "matching",
        "adversarial",
        "discriminator",
        "distillation",
    }
    assert "<svg" in (trained_model / "losses.svg").read_text()
    assert Image.open(trained_model / "samples.png").size[0] > 280
    assert not (trained_model / "checkpoints").exists()
    turbo = TurboSampler(str(trained_model))
    assert turbo.border == 2
    assert turbo.sample(["Sneaker"], [seeded_generator(0, 0, 0)]).shape == (1, 3, 28, 28)


@pytest.mark.slow
def test_interrupted_training_continues_with_the_same_results(
    trained_model, few, tmp_path, monkeypatch
):
    """Interrupt every stage in turn, one logged step after its checkpoint."""
    update = loop.TrainingLoop.update
    interrupted = set()

    def update_and_stop(self, *losses, **loss_terms):
        update(self, *losses, **loss_terms)
        if self.step == 2 and self.stage not in interrupted:
            interrupted.add(self.stage)
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    monkeypatch.setattr(loop.TrainingLoop, "update", update_and_stop)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            train_turbo_mini(tmp_path / "model", FASHION_MNIST, few, SMALL, save_every=2)
    train_turbo_mini(tmp_path / "model", FASHION_MNIST, few, SMALL, save_every=2)
    assert_equal_weights(tmp_path / "model", trained_model)
    log = (tmp_path / "model" / "log.csv").read_text()
    assert log == (trained_model / "log.csv").read_text()


@pytest.mark.slow
def test_killed_training_continues_with_the_same_results(trained_model, few, tmp_path):
    output = tmp_path / "model"
    command = [sys.executable, small_training.__file__, "train", few, output]
    child = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    first = output / "checkpoints" / "autoencoder.pt"
    wait_for(lambda: first.exists() or child.poll() is not None)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    train_turbo_mini(output, FASHION_MNIST, few, SMALL, save_every=1)
    assert_equal_weights(output, trained_model)


def test_losses_with_weight_0_are_not_logged(few, tmp_path):
    only = replace(SHORTEST, student=replace(SHORT, matching=0, adversarial=0))
    train_turbo_mini(tmp_path, FASHION_MNIST, few, only)
    assert {
        row["loss"]
        for row in csv.DictReader((tmp_path / "log.csv").open())
        if row["stage"] == "student"
    } == {"loss", "distillation"}


@pytest.mark.slow
def test_non_finite_loss_stops_the_training_and_keeps_the_checkpoints(
    trained_model, few, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        student.losses, "distillation", lambda generated, *_: generated.sum() * float("nan")
    )
    with pytest.raises(
        UserError,
        match=r"stage student, step 0: .* is nan; there is no checkpoint of this stage yet; "
        "try a lower learning rate",
    ):
        train_turbo_mini(tmp_path / "model", FASHION_MNIST, few, SMALL, save_every=2)
    assert {file.stem for file in (tmp_path / "model" / "checkpoints").iterdir()} == {
        "features",
        "autoencoder",
        "teacher",
    }
    monkeypatch.undo()
    train_turbo_mini(tmp_path / "model", FASHION_MNIST, few, SMALL, save_every=2)
    assert_equal_weights(tmp_path / "model", trained_model)


def test_train_refuses_a_folder_with_a_different_training_run(few, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 8}))
    with pytest.raises(UserError, match=r"contains a training run with different settings .*seed"):
        train_turbo_mini(tmp_path, FASHION_MNIST, few, SMALL)


def test_damaged_checkpoint_is_reported(few, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "features.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"could not load .*features\.pt .*; to restart .*delete"):
        train_turbo_mini(tmp_path, FASHION_MNIST, few, SMALL)
