"""The challenge's own evaluator, whose score stands in our records too."""

import json

import pytest
import torch

from leaderboard.records import store

EVALUATOR = """
import argparse, os, torch
parser = argparse.ArgumentParser()
for name in ("--submit_dir", "--truth_dir", "--output_dir"):
    parser.add_argument(name)
where = parser.parse_args()
share = 0.0
for name in ("few", "fewtoo"):
    images = torch.load(os.path.join(where.submit_dir, name + ".pt"))
    truth = torch.load(where.truth_dir + name + "_test.pt")
    assert images.shape == (20, 1, 28, 28) and truth["images_val"].shape == (300, 1, 28, 28) and len(truth["labels_val"]) == 300
    share += images[0].mean().item() / 2
with open(os.path.join(where.output_dir, "scores.txt"), "w") as file:
    file.write(f"correct: {share}\\n")
"""
pytestmark = pytest.mark.usefixtures("untrained_probe")


def test_the_challenges_own_evaluator_stands_beside_ours(
    ddbench, example_folder, real_runs, tmp_path
):
    pair = [folder for folder in store.runs_in([real_runs]) if folder.parts[-4] == "pair"]
    assert (
        ddbench(
            "export", *pair, "--format", "eccv2024", "--output", "team", path=[example_folder]
        ).returncode
        == 0
    )
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "evaluate.py").write_text(EVALUATOR)
    command = (
        "score",
        "team",
        "--format",
        "eccv2024",
        "--track",
        "pair",
        "--name",
        "T",
        "--device",
        "cpu",
        "--native",
        "checkout",
        "--json",
    )
    done = ddbench(*command, path=[example_folder])
    assert done.returncode == 0, done.stderr
    expected = sum(
        torch.load(tmp_path / "team" / f"{name}.pt")[0].mean().item() / 2
        for name in ("few", "fewtoo")
    )
    for document in json.loads(done.stdout):
        assert document["official"]["correct"] == pytest.approx(expected)
        assert document["official"]["datasets"] == ["few", "few-too"]
        assert len(document["accuracies"]) == 1
    (tmp_path / "checkout" / "evaluate.py").write_text("raise SystemExit('no GPU')")
    failed = json.loads(
        ddbench(*command, "--dataset", "few", "--repeats", "0", path=[example_folder]).stdout
    )["official"]
    assert failed["error"] == "evaluate.py failed with exit code 1: no GPU"
    missing = ddbench(*command[:-2], "nowhere", path=[example_folder])
    assert (missing.returncode, missing.stderr) == (
        2,
        "error: --official nowhere: no evaluate.py there\n",
    )
