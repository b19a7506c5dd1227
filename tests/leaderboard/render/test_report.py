"""Descriptions of runs, and the commands that created them."""

import dataclasses
import json

import pytest
from made_records import record, save

from leaderboard.records import store
from leaderboard.records.record import (
    Finding,
    OfficialScore,
    Origin,
    ScoringRuntime,
    TrackRules,
)
from leaderboard.render import report


def test_describe_shows_score_and_classes(tmp_path):
    folder = save(tmp_path, record())
    scored = dataclasses.replace(store.read(folder), confusion=[[8, 2], [5, 5]], message="all well")
    (folder / "manifest.json").write_text(json.dumps({"class_names": ["Bag", "Shirt"]}))
    text = report.describe(scored, folder)
    assert "72.00 %, 95 % interval 67.03 to 76.97, n = 3 (70.00 72.00 74.00)" in text
    assert "Bag      80.0          Shirt (2)" in text


def test_describe_shows_checks_and_scores_of_a_file(tmp_path):
    scored = record(
        official=OfficialScore(["cifar100", "tiny-imagenet"], 0.25),
        checks=[Finding("note", text="class order: fine")],
        limit_enforced=False,
        other_students={"mlp": [0.5, 0.6], "vgg11": []},
    )
    text = " ".join(report.describe(scored, tmp_path).split())
    assert "official evaluator 25.00 % on cifar100, tiny-imagenet" in text
    assert "other students mlp 55.00 % (n = 2)" in text
    assert "checks note: class order: fine" in text
    assert "time limit declared" in text
    failed = dataclasses.replace(scored, official=OfficialScore(["cifar100"], error="no GPU"))
    assert "no score on cifar100: no GPU" in report.describe(failed, tmp_path)


@pytest.mark.parametrize(("threads", "words"), [(1, "cpu, 1 thread,"), (4, "cpu, 4 threads,")])
def test_describe_counts_threads(tmp_path, threads, words):
    scored = record(scoring=ScoringRuntime("cpu", threads, backends={"mlp": "plain"}))
    assert words in report.describe(scored, tmp_path)


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (
            Origin(),
            "ddbench run --method one --track quickstart --dataset fashion-mnist --ipc max "
            "--seed 0 --time-limit 60 --repeats 0 --students convnet3",
        ),
        (
            Origin("run", run_id="abc", file="x.pt"),
            "ddbench score --recipe quickstart/1 --seed 4 --track quickstart --repeats 0 "
            "--students convnet3 -- abc",
        ),
        (
            Origin("file", file="x y.pt", format="mtt"),
            "--track quickstart --dataset fashion-mnist --format mtt --name one --repeats 0 "
            "--students convnet3 -- 'x y.pt'",
        ),
    ],
)
def test_command_reproduces_the_run(origin, words):
    seeds = [4, 5, 6] if origin.kind == "run" else [0, 1, 2]
    made = record(origin=origin, seeds=seeds, limit_enforced=origin.kind != "file")
    assert report.command(made).endswith(words)


def test_commands_of_own_files_and_folders_say_what_to_fill_in():
    folder = record(dataset="pets", metadata={"dataset_reference": "imagefolder:DIR?size=16"})
    assert "--dataset 'imagefolder:DIR?size=16'" in report.command(folder)
    assert report.rerun(folder).endswith("--dataset 'imagefolder:DIR?size=16'")
    rules = TrackRules("e" * 64, ["pets"], 20, [10], 10, "dsa/1", 3)
    on_file = dataclasses.replace(folder, rules=rules, track="sprint")
    # The track file knows the folder.
    assert "--track FILE.toml --dataset pets " in report.command(on_file)
    assert report.rerun(on_file) == f"ddbench rerun {on_file.run_id} --track FILE.toml"
    assert report.rerun(record(run_id="a")) == "ddbench rerun a"
