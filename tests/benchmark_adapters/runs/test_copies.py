"""Methods and files that pass off real images as a distilled set, and honest ones.

checks/test_copies.py has altered copies of every kind.
"""

import re
from dataclasses import replace

import pytest
import torch
from sample_sets import real_set
from small_runs import run

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring import features
from benchmark_adapters.scoring.images import normalise
from leaderboard.records import store
from leaderboard.records.record import Copies, Record
from leaderboard.render import image_kinds

SCORE = ("score", "team", "--format", "eccv2024", "--track", "few", "--device", "cpu")
CHEAT = """
import numpy as np
from benchmark_adapters import datasets

def distill(task, budget):
    task.ready(images="sampled")
    images, labels = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
    rows = np.concatenate([np.flatnonzero(labels == label)[:task.ipc] for label in range(10)])
    yield change(images[rows]), labels[rows]

def change(images):
    return {change}
"""


@pytest.mark.parametrize(
    ("change", "status", "copies"),
    [
        ("images", "invalid", Copies(1, 0, 0, 0)),
        ("images[..., ::-1]", "invalid", Copies(1, 0, 0, 0)),
        # A constant class would be an error in a file, and is none in the set of a method.
        ("np.where(np.arange(len(images))[:, None, None, None] < 2, 9, images)", "invalid", None),
        ("np.roll(images, 1, 2)", "ok", Copies(0, 1, 0, 0)),
    ],
)
def test_method_that_reads_the_test_images_is_found_out(
    ddbench, example_folder, methods_here, tmp_path, change, status, copies
):
    (tmp_path / "cheat.py").write_text(CHEAT.replace("{change}", change))
    command = ("run", "--method", "cheat.py", "--track", "few", "--device", "cpu", "--json")
    done = ddbench(*command, path=[example_folder])
    record = Record.from_json(done.stdout)
    assert (record.status, done.returncode) == (status, 0 if status == "ok" else 1)
    assert copies in (record.copies, None)
    if status == "invalid":
        assert (record.failed_stage, record.n, record.comparable) == ("checking", 0, False)
        assert "of 20 images are copies of test images: image " in record.message
        again = ddbench("score", record.run_id, "--device", "cpu", path=[example_folder])
        assert "its status is invalid" in again.stderr
    else:
        assert "warning: 20 of 20 images are nearly equal to a test image" in done.stderr


def test_method_that_reads_the_training_images_itself_uses_real_images(
    ddbench, example_folder, methods_here, tmp_path
):
    (tmp_path / "quiet.py").write_text(
        CHEAT.replace("{change}", "images").replace('"test"', '"train"')
    )
    command = ("run", "--method", "quiet.py", "--track", "few", "--device", "cpu", "--json")
    record = Record.from_json(ddbench(*command, path=[example_folder]).stdout)
    assert (record.status, record.uses_real_data) == ("ok", True)
    assert image_kinds.kind(record) == "sampled, real"


@pytest.mark.parametrize("method", ["random-real", "herding", "kmeans"])
def test_sets_of_honest_methods_have_no_copies_of_test_images(
    example_plugins, methods_here, monkeypatch, tmp_path, method
):
    monkeypatch.setattr(features, "QUICKSTART", replace(features.QUICKSTART, steps=5))
    _, record = run(example_plugins, tmp_path, method)
    assert (record.status, record.copies) == ("ok", Copies(0, 0, 1, 0))
    assert {finding.level for finding in record.checks} == {"note"}


@pytest.mark.usefixtures("untrained_probe")
def test_test_images_are_not_scored_and_training_images_are_shown(
    ddbench, example_folder, submission, tmp_path
):
    """A file says nothing of how it was made, but copies show that real images were used."""
    done = ddbench(*SCORE, "--name", "Honest", path=[example_folder])
    assert (done.returncode, "warning:" in done.stderr) == (0, False), done.stderr
    images = torch.load(submission / "few.pt")
    torch.save(images + 3 * torch.randn(images.shape), submission / "few.pt")
    assert ddbench(*SCORE, "--name", "Noise", path=[example_folder]).returncode == 0
    torch.save(normalise(real_set(2).images, FASHION_MNIST), submission / "few.pt")
    done = ddbench(*SCORE, "--name", "Cheat", path=[example_folder])
    assert (done.returncode, "error: status invalid: 20 of 20 images are" in done.stderr) == (
        1,
        True,
    )
    runs = (store.read(folder) for folder in store.runs_in([tmp_path / "runs"]))
    cheat, honest, noise = sorted(runs, key=lambda record: record.method)
    assert (cheat.status, cheat.failed_stage, cheat.n) == ("invalid", "checking", 0)
    assert cheat.copies == Copies(1, 0, 0, 0)
    assert (honest.status, honest.copies, honest.uses_real_data) == ("ok", Copies(0, 0, 1, 0), True)
    assert (noise.copies, noise.uses_real_data) == (Copies(0, 0, 0, 0), False)
    shown = {
        name: ddbench("show", one.run_id, path=[example_folder]).stdout
        for name, one in (("honest", honest), ("noise", noise))
    }
    assert "100 % are copies of training images" in shown["honest"]
    assert re.search(r"uses real images +not known", shown["noise"])
