"""Tests of the command ``ddbench-turbo``."""

import resource
from dataclasses import replace

import picture_folders
import pytest
from small_training import SHORTEST, SMALL

from benchmark_adapters import own_data, plugins
from benchmark_adapters.datasets import TINY_IMAGENET
from benchmark_adapters.types import UserError
from gdd_plugin.models.training_metadata import read_training_metadata
from gdd_plugin.training.prompts import training_prompts
from gdd_plugin.training.train_turbo_mini import train_turbo_mini

pytestmark = pytest.mark.usefixtures("one_thread", "no_plots")


def arguments(few, output, *more):
    return [
        "train",
        "--dataset",
        "fashion-mnist",
        "--data",
        str(few),
        "--output",
        str(output),
        "--held-out",
        "200",
        *more,
    ]


def test_train_keeps_the_last_checkpoint_if_the_disk_is_full(
    few, ddbench_turbo, tmp_path, monkeypatch
):
    """Limit the file size, so that the same call fails with the same kind of error."""
    monkeypatch.setattr(
        "gdd_plugin.training.cli.TurboMiniSettings", lambda **given: replace(SHORTEST, **given)
    )
    output, before = tmp_path / "model", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, before[1]))
    try:
        done = ddbench_turbo(*arguments(few, output))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "could not write" in line
    assert "teacher.pt: File too large; files that were saved earlier are kept" in line
    assert {file.name for file in (output / "checkpoints").glob("*.pt")} == {
        "features.pt",
        "autoencoder.pt",
    }
    assert ddbench_turbo(*arguments(few, output)).returncode == 0


def test_train_refuses_too_few_images_and_images_that_are_too_large(few, ddbench_turbo, tmp_path):
    done = ddbench_turbo(*arguments(few, tmp_path / "model"), "--held-out", "960", "--real", "8")
    assert done.returncode == 2
    assert "error: too few images of class " in done.stderr
    assert "in fashion-mnist train, without the last 96 images of each class; " in done.stderr
    assert "training needs 8 of each class" in done.stderr
    with pytest.raises(
        UserError, match="images of 32 px, but tiny-imagenet has 64 px; adapt a larger model"
    ):
        train_turbo_mini(tmp_path, TINY_IMAGENET, None, replace(SMALL, dataset="tiny-imagenet"))


def test_train_takes_a_folder_of_pictures(ddbench_turbo, tmp_path, monkeypatch):
    def shortest(**given):
        return replace(SHORTEST, **given, student=replace(SHORTEST.student, classes=2))

    monkeypatch.setattr("gdd_plugin.training.cli.TurboMiniSettings", shortest)
    folder = picture_folders.write(tmp_path / "pets", count=12)
    (folder / "classes.txt").write_text("Bag\ta handbag\nTrouser\tjeans\nSneaker\ta shoe\n")
    model = tmp_path / "model"
    short = ("--held-out", "6", "--real", "4")
    done = ddbench_turbo("train", "--dataset", f"{folder}/", "--output", model, *short)
    assert done.returncode == 0, done.stderr
    metadata = read_training_metadata(model)
    assert metadata.trained_on == "pets train, without the last 2 images of each class"
    assert metadata.settings["dataset"] == "pets"
    dataset = own_data.find(plugins.build(), str(folder))
    assert [prompts[0] for prompts in training_prompts(dataset)] == ["a handbag", "jeans", "a shoe"]


def test_train_reports_missing_data_in_one_line(ddbench_turbo, tmp_path):
    done = ddbench_turbo(
        "train", "--dataset", "cifar10", "--data", tmp_path, "--output", tmp_path / "model"
    )
    assert done.returncode == 2
    assert "error: dataset cifar10 was not found in" in done.stderr
    assert "Traceback" not in done.stderr
