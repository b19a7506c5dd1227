"""Untrusted files, and the images of runs, scored through the command.

execution/test_sandbox.py tests the process in which files are decoded.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from attack import Attack
from PIL import Image
from small_runs import only

from benchmark_adapters.datasets import FASHION_MNIST
from leaderboard.records import store

pytestmark = pytest.mark.usefixtures("untrained_probe")
SCORE = ("score", "team", "--format", "eccv2024", "--track", "few", "--device", "cpu")
SCORE_TEAMS = ("score", "teams", "--track", "few", "--device", "cpu")


def records(runs):
    return sorted(
        (store.read(folder) for folder in store.runs_in([runs])), key=lambda record: record.method
    )


def test_exported_set_scores_the_same_as_its_run(
    ddbench, example_folder, real_runs, submission, tmp_path
):
    done = ddbench(*SCORE, "--name", "The Team", "--json", path=[example_folder])
    assert done.returncode == 0, done.stderr
    document, original = json.loads(done.stdout), store.read(only(real_runs, "few"))
    assert document["accuracies"] == original.accuracies
    assert document["images_sha256"] == original.images_sha256
    assert (document["method"], document["origin"]["file"]) == ("The Team", "team")
    assert (document["limit_enforced"], document["comparable"]) == (False, True)
    assert (document["ipc"], document["seconds"]["limit"]) == (2, 30)
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


def test_everything_in_a_folder_of_teams_is_accounted_for(
    ddbench, example_folder, submission, tmp_path
):
    teams = tmp_path / "teams"
    shutil.copytree(submission, teams / "good")
    (teams / "__MACOSX").mkdir()
    (teams / ".DS_Store").touch()
    (teams / "late.tar.gz").touch()
    (teams / "good.zip").touch()
    (teams / "readme.txt").touch()
    (teams / "linked").symlink_to(submission)
    command = (*SCORE_TEAMS, "--format", "eccv2024", "--repeats", "0", "--json")
    done = ddbench(*command, path=[example_folder])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"] == "good"
    warnings = [line for line in done.stderr.splitlines() if "no team's submission" in line]
    assert [line.split()[1] for line in warnings] == [
        ".DS_Store",
        "__MACOSX",
        "good.zip",
        "late.tar.gz",
        "linked",
        "readme.txt",
    ]
    assert "late.tar.gz is no team's submission: unpack it into a folder" in done.stderr
    assert "good.zip is no team's submission: good/ is scored" in done.stderr
    shutil.move(teams / "good", teams / "deep" / "inner")
    (teams / "deep" / "readme.txt").touch()
    done = ddbench(*command, path=[example_folder])
    assert "deep: no few.pt, but there is one in inner; move it up" in done.stderr


@pytest.mark.parametrize("names", [("1", "2"), ("Bag", "train"), ("3", "Alice")])
def test_teams_named_like_classes_are_teams(ddbench, example_folder, submission, tmp_path, names):
    """Each has a picture beside its set, as the folder of a class would have."""
    Image.new("L", (28, 28)).save(submission / "preview.png")
    for name in names:
        shutil.copytree(submission, tmp_path / "teams" / name)
    done = ddbench(*SCORE_TEAMS, "--repeats", "0", path=[example_folder])
    assert done.returncode == 0, done.stderr
    assert {record.method for record in records(tmp_path / "runs")} == set(names)


def test_a_set_in_class_folders_is_one_set(ddbench, example_folder, tmp_path):
    for label in range(10):
        (tmp_path / "teams" / "train" / str(label)).mkdir(parents=True)
        Image.new("L", (28, 28), label).save(tmp_path / "teams" / "train" / str(label) / "a.png")
    done = ddbench(*SCORE_TEAMS, path=[example_folder])
    assert (done.returncode, "teams is a single submission: name" in done.stderr) == (2, True)


def test_a_link_stands_for_no_team(ddbench, example_folder, submission, tmp_path):
    """An archive beside a link of its name is scored."""
    teams = tmp_path / "teams"
    shutil.make_archive(str(teams / "a"), "zip", submission)
    (teams / "a").symlink_to(submission)
    done = ddbench(*SCORE_TEAMS, "--repeats", "0", "--json", path=[example_folder])
    assert json.loads(done.stdout)["origin"]["file"] == "a.zip"
    assert "a is no team's submission: links are not followed" in done.stderr


def test_folders_within_a_set_that_are_links_are_not_followed(
    ddbench, example_folder, submission, tmp_path
):
    (tmp_path / "real" / "0").mkdir(parents=True)
    Image.new("L", (28, 28)).save(tmp_path / "real" / "0" / "a.png")
    for name, target in (("few", "real"), ("train", "real"), ("0", "real/0")):
        team = tmp_path / f"team {name}"
        team.mkdir()
        (team / name).symlink_to(tmp_path / target)
        command = ("--dataset", "few", "--format", "imagefolder")
        done = ddbench("check", team, *command, path=[example_folder])
        reason = "0 is a symbolic link, which is not followed" if name == "0" else "no folders of "
        assert (done.returncode, reason in done.stderr) == (1, True)


def test_a_team_that_lacks_a_dataset_hears_which_file_is_missing(
    ddbench, example_folder, submission
):
    done = ddbench("check", "team", "--dataset", "cifar10", path=[example_folder])
    assert (done.returncode, done.stdout) == (1, "not fit for scoring\n")
    assert "no cifar10.pt" in done.stderr


def test_settings_of_files_and_of_runs(ddbench, example_folder, submission, real_runs):
    run = only(real_runs, "few")
    command = ("--track", "few", "--device", "cpu", "--repeats", "0")
    sized = (*command, "--name", "T", "--image-size")
    assert ddbench("score", "team", *sized, "28", path=[example_folder]).returncode == 0
    for arguments, message in (
        (("team", *sized, "32"), "--image-size 32: images of few have 28x28 pixels"),
        ((run, *command, "--image-size", "28"), "--image-size is only for files, and "),
        ((run, *command, "--name", "T"), "--name is only for files, and "),
        (("team", *command, "--name", "T", "--test-split", "0.2"), "name the dataset too"),
        (("missing", *command, "--name", "T"), "there are no files at missing, and no run"),
    ):
        done = ddbench("score", *arguments, path=[example_folder])
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_inbox_of_archives_in_several_formats(ddbench, example_folder, submission, tmp_path):
    """Archives hold sets at several depths, or broken ones. Names of files tell the formats."""
    teams = tmp_path / "teams"
    shutil.make_archive(str(teams / "flat"), "zip", submission)
    (submission / "__MACOSX").mkdir()
    shutil.make_archive(str(teams / "deep"), "zip", tmp_path, "team")
    (teams / "junk.zip").write_text("junk")
    (teams / "unknown").mkdir()
    shutil.copy(submission / "few.pt", teams / "unknown" / "mine.pt")
    images = torch.load(submission / "few.pt")
    (teams / "other" / "inner").mkdir(parents=True)
    torch.save(images, teams / "other" / "inner" / "images.pt")
    done = ddbench(*SCORE_TEAMS, "--repeats", "0", path=[example_folder])
    assert done.returncode == 1
    found = {record.method: record for record in records(tmp_path / "runs")}
    assert {name: record.status for name, record in found.items()} == {
        "deep": "ok",
        "flat": "ok",
        "junk": "invalid",
        "other": "ok",
        "unknown": "invalid",
    }
    formats = [found[name].origin.format for name in ("deep", "flat", "other")]
    assert formats == ["eccv2024", "eccv2024", "ddranking"]
    assert (found["flat"].origin.file, found["junk"].origin.format) == ("flat.zip", None)
    assert len({found[name].images_sha256 for name in ("deep", "flat", "other")}) == 1
    assert found["junk"].message.startswith("junk.zip: not readable as a zip archive")
    assert "has no files named as in a known format" in found["unknown"].message
    assert not list((tmp_path / "runs").rglob("unpacked"))


def test_a_single_set_needs_a_name_and_a_format_that_can_be_told(
    ddbench, example_folder, submission, tmp_path
):
    shutil.copy(submission / "few.pt", tmp_path / "mine.pt")
    command = ("--track", "few", "--device", "cpu", "--repeats", "0")
    done = ddbench("score", "team/few.pt", *command, "--json", "--name", "T", path=[example_folder])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["origin"]["format"] == "eccv2024"
    done = ddbench("score", "team", *command, path=[example_folder])
    assert (done.returncode, "name the team with --name" in done.stderr) == (2, True)
    done = ddbench("score", "mine.pt", *command, "--name", "T", path=[example_folder])
    assert (done.returncode, "name the format with --format" in done.stderr) == (2, True)


def test_float_sets_are_scored_and_saved_as_floats(ddbench, example_folder, submission, tmp_path):
    images = torch.load(submission / "few.pt")
    torch.save(
        images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)),
        submission / "few.pt",
    )
    done = ddbench(*SCORE, "--name", "T", path=[example_folder])
    assert done.returncode == 0, done.stderr
    folder = only(tmp_path / "runs", "few")
    exported = ddbench(
        "export", folder, "--format", "eccv2024", "--output", "again", path=[example_folder]
    )
    assert exported.returncode == 0, exported.stderr
    assert torch.equal(torch.load(tmp_path / "again" / "few.pt"), torch.load(submission / "few.pt"))


def test_every_team_in_a_folder_is_scored(ddbench, example_folder, submission, tmp_path):
    """Broken, hostile and incomplete submissions get records. The good one is scored."""
    teams = tmp_path / "teams"
    for name in ("a broken", "b <b>hostile", "c empty", "d good"):
        (teams / name).mkdir(parents=True)
    (teams / "a broken" / "few.pt").write_text("junk")
    torch.save(Attack(str(tmp_path / "executed")), teams / "b <b>hostile" / "few.pt")
    shutil.copy(submission / "few.pt", teams / "d good")
    done = ddbench(*SCORE_TEAMS, "--format", "eccv2024", path=[example_folder])
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


def test_set_that_fails_a_check_is_not_scored(ddbench, example_folder, submission, tmp_path):
    images = torch.load(submission / "few.pt")
    torch.save((images * FASHION_MNIST.std[0] + FASHION_MNIST.mean[0]), submission / "few.pt")
    done = ddbench(*SCORE, "--name", "T", path=[example_folder])
    assert done.returncode == 1
    assert "error: status invalid: images look unnormalised" in done.stderr
    (record,) = records(tmp_path / "runs")
    assert (record.status, record.accuracies, record.ipc) == ("invalid", [], 2)


def test_run_can_be_scored_again_with_other_students(ddbench, example_folder, real_runs, tmp_path):
    run = only(real_runs, "few")
    original = store.read(run)
    settings = ("--students", "convnet3,mlp", "--repeats", "3", "--device", "cpu", "--json")
    done = ddbench("score", run, *settings, path=[example_folder])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["accuracies"][:2] == original.accuracies
    assert (len(document["accuracies"]), len(document["other_students"]["mlp"])) == (3, 3)
    assert document["method"] == "random-real"
    assert document["uses_real_data"] is document["limit_enforced"] is True
    assert document["origin"]["run_id"] == original.run_id
    settings = ("--students", "mlp", "--recipe", "dcbench/1", "--repeats", "0", "--json")
    other = ddbench("score", run, *settings, path=[example_folder])
    reasons = json.loads(other.stdout)["not_comparable_because"]
    assert [reason["code"] for reason in reasons] == ["repeats", "recipe", "student"]
    assert reasons[0]["text"] == "0 repeats instead of 2"


def test_scoring_again_keeps_deviations_of_the_run(ddbench, example_folder, clock):
    """The deviations are a longer time limit, a timeout, and a set that is only a shard."""
    base = ("--track", "few", "--device", "cpu", "--repeats", "0", "--json")

    def make(*settings):
        done = ddbench("run", "--method", *settings, *base, path=[example_folder])
        return json.loads(done.stdout)["run_id"]

    def score(run_id):
        return ddbench("score", run_id, "--device", "cpu", "--json", path=[example_folder])

    long = make("good", "--time-limit", "60")
    clock.jump_after(batches=3)
    late = make("slow", "--ipc", "5")
    part = make("divided", "--shard", "0/2")
    record = json.loads(score(long).stdout)
    assert (record["comparable"], record["seconds"]["limit"]) == (False, 60)
    reason = {"code": "time-limit", "text": "time limit 60 s instead of 30 s"}
    assert record["not_comparable_because"] == [reason]
    record = json.loads(score(late).stdout)
    assert (record["status"], record["ipc_asked"], record["ipc"]) == ("timeout", 5, 3)
    assert record["message"] == "3 of 5 images per class by the time limit"
    refused = score(part)
    assert (refused.returncode, "is shard 0/2 of a set" in refused.stderr) == (2, True)


def test_run_of_a_refused_set_cannot_be_scored(ddbench, example_folder, submission, tmp_path):
    torch.save(torch.load(submission / "few.pt") * float("nan"), submission / "few.pt")
    ddbench(*SCORE, "--name", "T", path=[example_folder])
    run = only(tmp_path / "runs", "few")
    done = ddbench("score", run, "--device", "cpu", path=[example_folder])
    assert done.returncode == 2
    assert "can't be used: its status is invalid" in done.stderr


def test_evaluation_seed_is_independent_of_sampling_seed(ddbench, example_folder, tmp_path):

    def call(*command):
        done = ddbench(*command, "--device", "cpu", "--json", path=[example_folder])
        return json.loads(done.stdout)

    run = call("run", "--method", "good", "--track", "few", "--seed", "3")
    same = call("score", run["run_id"], "--recipe", "few/1", "--repeats", "3")
    other = call("score", run["run_id"], "--seed", "7")
    assert (run["seeds"], same["seeds"], other["seeds"]) == ([3, 4], [3, 4, 5], [7, 8])
    assert (same["seed"], other["seed"], same["accuracies"][:2]) == (3, 3, run["accuracies"])


def test_submissions_cannot_write_control_characters_to_the_terminal(
    ddbench, example_folder, real_runs, tmp_path
):
    team = "teams/a\x1b[31m"
    export = ("export", only(real_runs, "few"), "--format", "native", "--output", team)
    assert ddbench(*export, path=[example_folder]).returncode == 0
    manifest = json.dumps({"dataset": "x\nrun: forged\x1b[31m" + 300_000 * "A"})
    (tmp_path / team / "manifest.json").write_text(manifest)
    done = ddbench(*SCORE_TEAMS, "--format", "native", path=[example_folder])
    assert done.returncode == 1
    assert "\x1b" not in done.stderr + done.stdout
    assert not any(line.startswith("run: forged") for line in done.stderr.splitlines())
    assert len(done.stderr) < 3000
    assert len((only(tmp_path / "runs", "few") / "record.json").read_text()) < 10_000


def test_records_of_scores_omit_folders(ddbench, example_folder, submission, tmp_path):
    """A note on real images that can't be read names the file but not its folder."""
    (tmp_path / "secret").mkdir()
    for file in Path(FASHION_MNIST.bundled).glob("t10k*"):
        shutil.copy(file, tmp_path / "secret")
    settings = ("--track", "half", "--dataset", "few", "--name", "T", "--data", "secret")
    ddbench(*SCORE, *settings, path=[example_folder])
    assert "secret" not in (only(tmp_path / "runs", "half") / "record.json").read_text()
