"""Strangers' sets and the images of runs, through the command: checked, exported, scored.

The process with limits in which that is done is tested in test_sandbox.py.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from attack import Attack

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring import training
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


pytestmark = pytest.mark.usefixtures("trusting")


def only(runs, track):
    (folder,) = [folder for folder in store.runs_in([runs]) if folder.parts[-4] == track]
    return folder


def records(runs):
    return sorted(
        (store.read(folder) for folder in store.runs_in([runs])), key=lambda record: record.method
    )


def test_an_exported_set_scores_what_its_run_scored(
    ddbench, strange_folder, real_runs, submission, tmp_path
):
    command = (
        "--format",
        "eccv2024",
        "--track",
        "few",
        "--name",
        "The Team",
        "--device",
        "cpu",
        "--json",
    )
    done = ddbench("score", "team", *command, path=[strange_folder])
    assert done.returncode == 0, done.stderr
    document, original = json.loads(done.stdout), store.read(only(real_runs, "few"))
    assert document["accuracies"] == original.accuracies
    assert document["images_sha256"] == original.images_sha256
    assert (document["method"], document["limit_enforced"], document["comparable"]) == (
        "The Team",
        False,
        True,
    )
    assert (document["ipc"], document["seconds"]["limit"], document["facts"]["file"]) == (
        2,
        30,
        "team",
    )
    folder = only(tmp_path / "runs", "few")
    assert folder.parent.name == "The-Team"
    assert {file.name for file in folder.iterdir()} == {
        "record.json",
        "manifest.json",
        "images.safetensors",
        "grid.png",
        "log.txt",
    }
    assert str(tmp_path) not in (folder / "record.json").read_text()


def test_float_sets_are_scored_and_kept_as_floats(ddbench, strange_folder, submission, tmp_path):
    images = torch.load(submission / "few.pt")
    torch.save(
        images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)),
        submission / "few.pt",
    )
    done = ddbench(
        "score",
        "team",
        "--format",
        "eccv2024",
        "--track",
        "few",
        "--name",
        "T",
        "--device",
        "cpu",
        path=[strange_folder],
    )
    assert done.returncode == 0, done.stderr
    folder = only(tmp_path / "runs", "few")
    exported = ddbench(
        "export", folder, "--format", "eccv2024", "--output", "again", path=[strange_folder]
    )
    assert exported.returncode == 0, exported.stderr
    assert torch.equal(torch.load(tmp_path / "again" / "few.pt"), torch.load(submission / "few.pt"))


def test_a_folder_of_teams_scores_them_all(ddbench, strange_folder, submission, tmp_path):
    """A broken, a hostile and an incomplete submission are rows, and the good one is scored."""
    teams = tmp_path / "teams"
    for name in ("a broken", "b <b>hostile", "c empty", "d good"):
        (teams / name).mkdir(parents=True)
    (teams / "a broken" / "few.pt").write_text("junk")
    torch.save(Attack(str(tmp_path / "executed")), teams / "b <b>hostile" / "few.pt")
    shutil.copy(submission / "few.pt", teams / "d good")
    done = ddbench(
        "score",
        "teams",
        "--format",
        "eccv2024",
        "--track",
        "few",
        "--device",
        "cpu",
        path=[strange_folder],
    )
    assert done.returncode == 1
    assert [(record.method, record.status) for record in records(tmp_path / "runs")] == [
        ("a broken", "invalid"),
        ("b <b>hostile", "invalid"),
        ("c empty", "invalid"),
        ("d good", "ok"),
    ]
    assert done.stderr.count("error: status invalid: ") == 3
    assert "c empty: no few.pt" in done.stderr
    assert not (tmp_path / "executed").exists()


def test_a_set_that_fails_its_check_is_not_scored(ddbench, strange_folder, submission, tmp_path):
    images = torch.load(submission / "few.pt")
    torch.save((images * FASHION_MNIST.std[0] + FASHION_MNIST.mean[0]), submission / "few.pt")
    done = ddbench(
        "score",
        "team",
        "--format",
        "eccv2024",
        "--track",
        "few",
        "--name",
        "T",
        "--device",
        "cpu",
        path=[strange_folder],
    )
    assert done.returncode == 1
    assert "error: status invalid: images look unnormalised" in done.stderr
    (record,) = records(tmp_path / "runs")
    assert (record.status, record.accuracies, record.ipc) == ("invalid", [], 2)


def test_a_run_is_scored_again_with_other_students(ddbench, strange_folder, real_runs, tmp_path):
    original = store.read(only(real_runs, "few"))
    done = ddbench(
        "score",
        only(real_runs, "few"),
        "--students",
        "convnet3,mlp",
        "--repeats",
        "3",
        "--device",
        "cpu",
        "--json",
        path=[strange_folder],
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["accuracies"][:2] == original.accuracies
    assert (len(document["accuracies"]), len(document["cross"]["mlp"])) == (3, 3)
    assert (document["method"], document["uses_real_data"], document["limit_enforced"]) == (
        "random-real",
        True,
        True,
    )
    assert document["facts"]["scored_run"] == original.run_id
    other = ddbench(
        "score",
        only(real_runs, "few"),
        "--students",
        "mlp",
        "--recipe",
        "dcbench/1",
        "--repeats",
        "0",
        "--json",
        path=[strange_folder],
    )
    assert json.loads(other.stdout)["not_comparable_because"] == [
        "0 repeats instead of 2",
        "recipe dcbench/1 instead of few/1",
        "student mlp",
    ]


def test_scoring_again_makes_no_run_better_than_it_was(ddbench, strange_folder, clock):
    """A longer limit than the track's, fewer images than asked for by the limit, and a shard stay what they are."""
    base = ("--track", "few", "--device", "cpu", "--repeats", "0", "--json")
    long = json.loads(
        ddbench(
            "run", "--method", "good", "--time-limit", "60", *base, path=[strange_folder]
        ).stdout
    )
    clock.jump_after(rounds=3)
    late = json.loads(
        ddbench("run", "--method", "slow", "--ipc", "5", *base, path=[strange_folder]).stdout
    )
    part = json.loads(
        ddbench("run", "--method", "divided", "--shard", "0/2", *base, path=[strange_folder]).stdout
    )
    again = ("--device", "cpu", "--json")
    long = json.loads(ddbench("score", long["run_id"], *again, path=[strange_folder]).stdout)
    assert (long["comparable"], long["not_comparable_because"], long["seconds"]["limit"]) == (
        False,
        ["limit 60 s instead of 30 s"],
        60,
    )
    late = json.loads(ddbench("score", late["run_id"], *again, path=[strange_folder]).stdout)
    assert (late["status"], late["message"], late["ipc_asked"], late["ipc"]) == (
        "timeout",
        "3 of 5 images per class by the limit",
        5,
        3,
    )
    refused = ddbench("score", part["run_id"], *again, path=[strange_folder])
    assert (refused.returncode, "is shard 0/2 of a set" in refused.stderr) == (2, True)


def test_a_set_that_was_refused_can_not_be_scored_through_its_run(
    ddbench, strange_folder, submission, tmp_path
):
    torch.save(torch.load(submission / "few.pt") * float("nan"), submission / "few.pt")
    ddbench(
        "score",
        "team",
        "--format",
        "eccv2024",
        "--track",
        "few",
        "--name",
        "T",
        "--device",
        "cpu",
        path=[strange_folder],
    )
    done = ddbench(
        "score", only(tmp_path / "runs", "few"), "--device", "cpu", path=[strange_folder]
    )
    assert (done.returncode, "is not fit for use, its status is invalid" in done.stderr) == (
        2,
        True,
    )


def test_the_seed_of_an_evaluation_is_not_that_of_the_sampling(ddbench, strange_folder, tmp_path):
    common = ("--device", "cpu", "--json")
    made = json.loads(
        ddbench(
            "run",
            "--method",
            "good",
            "--track",
            "few",
            "--seed",
            "3",
            *common,
            path=[strange_folder],
        ).stdout
    )
    same = json.loads(
        ddbench(
            "score",
            made["run_id"],
            "--recipe",
            "few/1",
            "--repeats",
            "3",
            *common,
            path=[strange_folder],
        ).stdout
    )
    other = json.loads(
        ddbench("score", made["run_id"], "--seed", "7", *common, path=[strange_folder]).stdout
    )
    assert (made["seeds"], same["seeds"], other["seeds"]) == ([3, 4], [3, 4, 5], [7, 8])
    assert (same["seed"], other["seed"], same["accuracies"][:2]) == (3, 3, made["accuracies"])


def test_strangers_can_not_write_on_the_terminal(ddbench, strange_folder, real_runs, tmp_path):
    assert (
        ddbench(
            "export",
            only(real_runs, "few"),
            "--format",
            "native",
            "--output",
            "teams/a\x1b[31m",
            path=[strange_folder],
        ).returncode
        == 0
    )
    (tmp_path / "teams" / "a\x1b[31m" / "manifest.json").write_text(
        json.dumps({"dataset": "x\nrun: forged\x1b[31m" + 300_000 * "A"})
    )
    done = ddbench(
        "score",
        "teams",
        "--format",
        "native",
        "--track",
        "few",
        "--device",
        "cpu",
        path=[strange_folder],
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stderr + done.stdout
    assert not any(line.startswith("run: forged") for line in done.stderr.splitlines())
    assert len(done.stderr) < 3000
    assert len((only(tmp_path / "runs", "few") / "record.json").read_text()) < 10_000


def test_records_of_scores_name_no_folders(ddbench, strange_folder, submission, tmp_path):
    """A note on real images that can't be read names the file and not where it lies."""
    (tmp_path / "secret").mkdir()
    for file in Path(FASHION_MNIST.bundled).glob("t10k*"):
        shutil.copy(file, tmp_path / "secret")
    command = (
        "score",
        "team",
        "--format",
        "eccv2024",
        "--track",
        "half",
        "--dataset",
        "few",
        "--name",
        "T",
        "--device",
        "cpu",
        "--data",
        "secret",
    )
    ddbench(*command, path=[strange_folder])
    assert "secret" not in (only(tmp_path / "runs", "half") / "record.json").read_text()


def test_the_challenges_own_evaluator_stands_beside_ours(
    ddbench, strange_folder, real_runs, tmp_path
):
    pair = [folder for folder in store.runs_in([real_runs]) if folder.parts[-4] == "pair"]
    assert (
        ddbench(
            "export", *pair, "--format", "eccv2024", "--output", "team", path=[strange_folder]
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
    done = ddbench(*command, path=[strange_folder])
    assert done.returncode == 0, done.stderr
    expected = sum(
        torch.load(tmp_path / "team" / f"{name}.pt")[0].mean().item() / 2
        for name in ("few", "fewtoo")
    )
    for document in json.loads(done.stdout):
        assert document["facts"]["official"]["correct"] == pytest.approx(expected)
        assert document["facts"]["official"]["datasets"] == ["few", "few-too"]
        assert len(document["accuracies"]) == 1
    (tmp_path / "checkout" / "evaluate.py").write_text("raise SystemExit('no GPU')")
    failed = json.loads(
        ddbench(*command, "--dataset", "few", "--repeats", "0", path=[strange_folder]).stdout
    )["facts"]["official"]
    assert failed["error"] == "evaluate.py failed with exit code 1: no GPU"
    missing = ddbench(*command[:-2], "nowhere", path=[strange_folder])
    assert (missing.returncode, missing.stderr) == (
        2,
        "error: --native nowhere: no evaluate.py there\n",
    )


def test_check_tells_good_from_bad(ddbench, strange_folder, submission):
    good = ddbench(
        "check", "team", "--format", "eccv2024", "--dataset", "few", "--json", path=[strange_folder]
    )
    document = json.loads(good.stdout)
    assert (
        good.returncode,
        document["ok"],
        document["images"],
        document["ipc"],
        document["pixels"],
    ) == (0, True, 20, 2, "uint8")
    torch.save(torch.load(submission / "few.pt") * float("nan"), submission / "few.pt")
    bad = ddbench(
        "check", "team/few.pt", "--format", "eccv2024", "--dataset", "few", path=[strange_folder]
    )
    assert bad.returncode == 1
    assert (
        bad.stderr
        == "error: 20 images have values that are NaN or infinite, the first is image 0\n"
    )
    (submission / "few.pt").write_text("junk")
    unreadable = ddbench(
        "check", "team/few.pt", "--format", "eccv2024", "--dataset", "few", path=[strange_folder]
    )
    assert unreadable.returncode == 1
    assert unreadable.stderr.startswith("error: not readable: ")
    assert unreadable.stderr.count("\n") == 1
    document = json.loads(
        ddbench(
            "check",
            "team/few.pt",
            "--format",
            "eccv2024",
            "--dataset",
            "few",
            "--json",
            path=[strange_folder],
        ).stdout
    )
    assert (document["ok"], document["images"], document["findings"][0]["level"]) == (
        False,
        0,
        "error",
    )


def test_check_finds_a_shuffled_class_order_in_real_images(ddbench, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark_adapters.checks.class_order.MAX_STEPS", 50)
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    order = [5, 8, 1, 9, 7, 3, 4, 0, 6, 2]
    rows = np.concatenate([np.flatnonzero(labels == label)[:10] for label in order])
    torch.save(training.normalise(images[rows], FASHION_MNIST), tmp_path / "set.pt")
    done = ddbench("check", "set.pt", "--format", "eccv2024", "--dataset", "fashion-mnist")
    assert done.returncode == 1
    assert "in another order it finds" in done.stderr
    assert "are likely Sandal, Bag, Trouser, Ankle boot, Sneaker" in done.stderr


def test_check_needs_no_real_data(ddbench, tmp_path):
    torch.save(
        torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0)), tmp_path / "set.pt"
    )
    done = ddbench(
        "check",
        "set.pt",
        "--format",
        "eccv2024",
        "--dataset",
        "cifar10",
        HOME=str(tmp_path),
        XDG_DATA_HOME=str(tmp_path),
        DDBENCH_DATA="",
    )
    assert done.returncode == 0, done.stderr
    assert "note: class order not checked: dataset cifar10 is not in" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["check", "absent.pt", "--format", "eccv2024", "--dataset", "cifar10"],
            "absent.pt is missing",
        ),
        (["check", "team", "--format", "gif", "--dataset", "cifar10"], "unknown format 'gif'"),
        (["score", "team", "--format", "eccv2024", "--name", "T"], "name the track"),
        (["score", "team", "--format", "eccv2024", "--track", "few"], "say it with --name TEAM"),
        (
            ["score", "absent", "--format", "eccv2024", "--track", "few", "--name", "T"],
            "absent is missing",
        ),
        (["score", "nothing"], "no run 'nothing'"),
        (
            [
                "score",
                "team",
                "--format",
                "eccv2024",
                "--track",
                "few",
                "--name",
                "T",
                "--max-memory",
                "-1",
            ],
            "--max-memory -1: expected GiB",
        ),
        (
            [
                "score",
                "team",
                "--format",
                "eccv2024",
                "--track",
                "few",
                "--name",
                "T",
                "--recipe",
                "few/9",
            ],
            "unknown recipe",
        ),
        (["export", "nothing", "--format", "mtt", "--output", "out"], "no run 'nothing'"),
    ],
)
def test_wrong_usage_is_one_line(ddbench, strange_folder, submission, arguments, message):
    done = ddbench(*arguments, path=[strange_folder])
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_export_overwrites_nothing_and_leaves_nothing_half_done(
    ddbench, strange_folder, real_runs, submission, tmp_path
):
    run = only(real_runs, "few")
    again = ddbench("export", run, "--format", "mtt", "--output", "team", path=[strange_folder])
    assert (again.returncode, "team exists and is not empty" in again.stderr) == (2, True)
    truth = ddbench(
        "export", run, "--format", "mtt", "--output", "out", "--truth", path=[strange_folder]
    )
    assert "format mtt has no files of real test images" in truth.stderr
    twice = ddbench("export", run, run, "--format", "mtt", "--output", "out", path=[strange_folder])
    assert "another run of few is given already" in twice.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["team"]
    whole = ddbench(
        "export", run, "--format", "eccv2024", "--truth", "--output", "out", path=[strange_folder]
    )
    assert whole.stdout.split() == ["out/few.pt", "out/few_test.pt"]
