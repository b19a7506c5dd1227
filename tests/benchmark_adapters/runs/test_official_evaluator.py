"""Records contain the score from the challenge's own evaluator next to that from ddbench."""

import json

import pytest
import torch

from leaderboard.records import store

EVALUATOR = """
import argparse, os, torch
parser = argparse.ArgumentParser()
for name in ("--submit_dir", "--truth_dir", "--output_dir"):
    parser.add_argument(name)
folders = parser.parse_args()
score = 0.0
for name in ("few", "fewtoo"):
    images = torch.load(os.path.join(folders.submit_dir, name + ".pt"))
    truth = torch.load(folders.truth_dir + name + "_test.pt")
    assert images.shape == (20, 1, 28, 28)
    assert truth["images_val"].shape == (300, 1, 28, 28)
    assert len(truth["labels_val"]) == 300
    score += images[0].mean().item() / 2
with open(os.path.join(folders.output_dir, "scores.txt"), "w") as file:
    file.write(f"correct: {score}\\n")
"""
pytestmark = pytest.mark.usefixtures("untrained_probe")


COMMAND = ("score", "team", "--format", "eccv2024", "--track", "pair", "--name", "T")
SETTINGS = ("--device", "cpu", "--json")


@pytest.fixture
def checkout(ddbench, example_folder, real_runs, tmp_path):
    """Return a checkout with an evaluator, next to a folder ``team`` with both sets."""
    pair = [folder for folder in store.runs_in([real_runs]) if folder.parts[-4] == "pair"]
    export = ("export", *pair, "--format", "eccv2024", "--output", "team")
    assert ddbench(*export, path=[example_folder]).returncode == 0
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "evaluate.py").write_text(EVALUATOR)
    return folder


@pytest.fixture
def expected(checkout):
    """Return the score that the evaluator computes."""
    files = [checkout.parent / "team" / f"{name}.pt" for name in ("few", "fewtoo")]
    return sum(torch.load(file)[0].mean().item() / 2 for file in files)


def test_official_score_is_recorded_with_ddbench_scores(
    ddbench, example_folder, checkout, expected
):
    done = ddbench(*COMMAND, *SETTINGS, "--official", "checkout", path=[example_folder])
    assert done.returncode == 0, done.stderr
    for record in json.loads(done.stdout):
        assert record["official"]["correct"] == pytest.approx(expected)
        assert record["official"]["datasets"] == ["few", "few-too"]
        assert len(record["accuracies"]) == 1


def test_old_option_name_works_and_is_hidden(ddbench, example_folder, checkout, expected):
    settings = (*SETTINGS, "--repeats", "0", "--native", "checkout")
    done = ddbench(*COMMAND, *settings, path=[example_folder])
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert [record["official"]["correct"] for record in records] == [pytest.approx(expected)] * 2
    help_text = ddbench("score", "--help").stdout
    assert "--official CHECKOUT" in help_text
    assert "--native" not in help_text


def test_failing_evaluator_leaves_a_reason(ddbench, example_folder, checkout):
    (checkout / "evaluate.py").write_text("raise SystemExit('no GPU')")
    settings = (*SETTINGS, "--dataset", "few", "--repeats", "0", "--official", "checkout")
    record = json.loads(ddbench(*COMMAND, *settings, path=[example_folder]).stdout)
    assert record["official"]["error"] == "evaluate.py failed with exit code 1: no GPU"


def test_checkout_without_evaluator_is_wrong_usage(ddbench, example_folder, checkout):
    done = ddbench(*COMMAND, "--official", "nowhere", path=[example_folder])
    message = "error: --official nowhere: no evaluate.py found there\n"
    assert (done.returncode, done.stderr) == (2, message)
