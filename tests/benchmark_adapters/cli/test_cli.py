"""The command line."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from project import COMMAND
from safetensors.numpy import load_file

from benchmark_adapters import plugins
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.runs.request import Request, plan_scoring
from benchmark_adapters.types import Notice, UserError

RUN_GOOD = ("run", "--method", "good", "--track", "few", "--device", "cpu")


@pytest.mark.parametrize(
    "command", ["--help", "run --help", "list", "list options generative-turbo", "leaderboard"]
)
def test_help_and_listings_import_nothing_heavy(command, tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert imported & {"torch", "diffusers", "transformers", "numpy", "scipy", "PIL"} == set()
    assert "click" in imported


def test_installed_command_prints_version_and_errors(shell):
    done = shell("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ddbench, version ")
    wrong = shell("run", "--method", "generative-turbo", "--ipc", "0")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert wrong.stderr.startswith("error: --ipc 0")


def test_list_prints_options_and_components(ddbench):
    text = ddbench("list", "options", "generative-turbo").stdout
    names = ("model", "preset", "prompts", "pda", "copies", "batch", "default|published|none")
    assert all(name in text for name in names)
    listing = json.loads(ddbench("list", "--json").stdout)
    assert set(listing) == {"methods", "tracks", "datasets", "students", "recipes", "formats"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--method", "generative-trubo"], "did you mean generative-turbo?"),
        (
            ["run", "--method", "generative-turbo", "--track", "marathon"],
            "unknown track 'marathon'",
        ),
        (["run", "--method", "generative-turbo", "--dataset", "mnist"], "unknown dataset 'mnist'"),
        (["run", "--method", "generative-turbo", "--ipc", "0"], "--ipc 0"),
        (["run", "--method", "generative-turbo", "--time-limit", "nan"], "--time-limit nan"),
        (
            ["run", "--method", "generative-turbo", "--time-limit", "soon"],
            "'soon' is not a valid float",
        ),
        (
            ["run", "--method", "generative-turbo", "--option", "colour=red"],
            "no option 'colour'; it has: model, ",
        ),
        (["run", "--method", "generative-turbo", "--option", "batch=big"], "expected int"),
        (
            ["run", "--method", "generative-turbo", "--option", "batch=0"],
            "--option batch=0: expected 1 to 4096",
        ),
        (
            ["run", "--method", "generative-turbo", "--option", "prompts=poem"],
            "--option prompts=poem: expected bare, name",
        ),
        (["run", "--method", "generative-turbo", "--option", "a\nb=1"], "--option a b=1"),
        (
            ["run", "--method", "generative-turbo", "--option", "pda=wild"],
            "expected one of default, published, none",
        ),
        (["run"], "Missing option '--method'"),
        (["sing"], "No such command 'sing'"),
        (["--loud"], "No such option"),
        (
            ["run", "--method", "generative-turbo", "--track", "eccv2024-fixed", "--data", "."],
            "dataset cifar100 was not found in",
        ),
        (["list", "kinds"], "'kinds' is not one of"),
        (["list", "options"], "name the method"),
        (["list", "methods", "extra"], "only `list options` takes a name"),
        (["show", "nothing"], "no run 'nothing' in runs"),
        (["leaderboard", "--track", "marathon"], "unknown track"),
        (["leaderboard", "--output", "not/there.md"], "can't be written"),
        (["data", "mnist"], "unknown dataset"),
        (["data", "--download"], "name the dataset"),
        (["data", "tiny-imagenet", "--download"], "has no automatic download"),
    ],
)
def test_usage_errors_print_one_line_and_exit_with_2(ddbench, arguments, message):
    done = ddbench(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_debug_shows_the_traceback(shell):
    done = shell("run", "--method", "nope", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_run_reports_progress_and_prints_the_table(ddbench, example_folder, tmp_path):
    done = ddbench(*RUN_GOOD, path=[example_folder])
    assert done.returncode == 0, done.stderr
    assert "sampling 2 images per class in at most 30 s" in done.stderr
    assert "scoring: convnet3 with recipe few/1, 2 seeds" in done.stderr
    (run,) = (tmp_path / "runs").glob("*/*/*/*")
    assert f"run: {run.relative_to(tmp_path)}" in done.stderr
    assert "good" in done.stdout
    assert "accuracy %" in done.stdout
    shown = ddbench("show", run.name[:20])
    assert shown.returncode == 0
    assert "Ankle boot" in shown.stdout
    assert json.loads(ddbench("show", run.name, "--json").stdout) == json.loads(
        (run / "record.json").read_text()
    )


def test_track_with_two_datasets_produces_two_runs(ddbench, example_folder):
    done = ddbench(*RUN_GOOD, "--track", "pair", "--json", path=[example_folder])
    assert done.returncode == 0, done.stderr
    assert [record["dataset"] for record in json.loads(done.stdout)] == ["few", "few-too"]


def test_failed_run_exits_with_1_and_has_a_row(ddbench, example_folder, tmp_path):
    assert ddbench(*RUN_GOOD, "--repeats", "0", path=[example_folder]).returncode == 0
    done = ddbench(*RUN_GOOD, "--method", "raises", "--json", path=[example_folder])
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "error"
    assert "error: status error: the method raised RuntimeError: the model exploded" in done.stderr
    rows = json.loads(ddbench("leaderboard", "--format", "json").stdout)
    assert {(row["method"], row["status"], row["rank"]) for row in rows} == {
        ("good", "ok", ""),
        ("raises", "error", ""),
    }


def test_identical_runs_share_one_row(ddbench, example_folder):
    command = (*RUN_GOOD, "--method", "random-real", "--seed", "3")
    for _ in range(2):
        assert ddbench(*command, path=[example_folder]).returncode == 0
    assert len(json.loads(ddbench("leaderboard", "--format", "json").stdout)) == 1


def test_leaderboard_merges_runs_folders_and_reports_damaged_records(
    ddbench, example_folder, tmp_path
):
    for seed, runs in ((0, "a"), (1, "b"), (2, "b")):
        settings = ("--seed", seed, "--runs", runs, "--repeats", "0")
        ddbench(*RUN_GOOD, *settings, path=[example_folder])
    damaged = sorted((tmp_path / "b").glob("*/*/*/*/record.json"))[-1]
    damaged.write_text("{}")
    done = ddbench(
        "leaderboard", "--runs", "a", "--runs", "b", "--format", "csv", "--output", "table.csv"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("warning: skipped ")
    assert str(damaged.relative_to(tmp_path)) in done.stderr
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 3


def test_data_shows_available_and_missing_datasets(ddbench, tmp_path):
    folders = {"XDG_DATA_HOME": str(tmp_path / "user")}
    done = ddbench("data", "--data", tmp_path, **folders)
    assert done.returncode == 0
    assert "fashion-mnist: 10,000 test images bundled, sha256 " in done.stdout
    assert "cifar100: dataset cifar100 was not found in" in done.stdout
    assert ddbench("data", "cifar10", "--data", tmp_path, **folders).returncode == 1


def test_data_that_was_overlooked_or_is_incomplete_is_said(ddbench, tmp_path):
    """One folder has none of the known names, the other one no training images."""
    (tmp_path / "mine").mkdir()
    part = tmp_path / "home" / "ddbench" / "fashion-mnist"
    shutil.copytree(FASHION_MNIST.bundled, part, ignore=shutil.ignore_patterns("train*"))
    here = {"XDG_DATA_HOME": str(tmp_path / "home")}
    lines = ddbench("data", "fashion-mnist", "--data", "mine", **here).stderr.splitlines()
    assert "warning: fashion-mnist was not recognised in mine, so the copy in" in lines[0]
    (line,) = ddbench("data", "fashion-mnist", "--data", part).stderr.splitlines()
    assert line.startswith(f"warning: {part}: fashion-mnist is incomplete; its train split")
    assert line.endswith("lacks train-images-idx3-ubyte, train-labels-idx1-ubyte")
    # A run says the same when it is planned.
    installed, request = plugins.build(), Request(track="fashion-mnist", data=part)
    with pytest.warns(Notice, match="its train split lacks train-images"):
        plan_scoring(request, installed)
    with pytest.warns(Notice, match="images of its own; --data .* is not used"):
        plan_scoring(replace(request, track="quickstart"), installed)
    (part / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match="its test split lacks t10k-labels-idx1-ubyte; download it"):
        plan_scoring(request, installed)


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs Linux's /proc")
def test_read_only_runs_folder_is_an_error(ddbench, example_folder):
    """Not even root can create folders below /proc."""
    done = ddbench(*RUN_GOOD, "--runs", "/proc/runs", path=[example_folder])
    assert done.returncode == 2
    assert "\nerror: could not write to the runs folder /proc/runs" in done.stderr


# End-to-end tests of generative-turbo


@pytest.mark.slow
def test_quickstart_scores_at_least_70_percent(shell):
    """Run the demo's command with one seed and score it on all 10,000 real test images.

    On a slow machine the limit may cut the refinement short, which costs accuracy.
    """
    done = shell("run", "--method", "generative-turbo", "--repeats", "1", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["accuracies"][0] >= 0.7
    assert sum(map(sum, record["confusion"])) == 10_000
    assert (record["ipc"], record["model"], record["uses_real_data"]) == (20, "turbo-mini", True)


def test_ipc_max_uses_the_whole_time_limit(ddbench, tmp_path, clock):
    """The set consists of the images that are on disk when the limit expires."""
    clock.jump_after(batches=4)
    command = ("run", "--method", "generative-turbo", "--ipc", "max", "--option", "batch=25")
    done = ddbench(*command, "--time-limit", "3600", "--repeats", "0", "--json")
    record = json.loads(done.stdout)
    assert (done.returncode, record["status"], record["ipc_asked"]) == (0, "ok", None)
    assert record["seconds"]["load"] + record["seconds"]["generate"] <= record["seconds"]["limit"]
    (images,) = (tmp_path / "runs").glob("*/*/*/*/images.safetensors")
    labels = load_file(images)["labels"]
    assert np.bincount(labels).tolist() == [record["ipc"]] * 10
    # One image, then three batches of 25, and one copy of each image. Every class has at least 7
    # of the 76 sampled images.
    assert (record["ipc"], record["sampled"]) == (14, 76)


def test_missing_model_leaves_a_record(ddbench, methods_here):
    done = ddbench("run", "--method", "generative-turbo", "--option", "model=./nothing", "--json")
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["status"] == "error"
    assert record["message"].startswith("no model folder")
    assert record["accuracies"] == []
