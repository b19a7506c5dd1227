"""Forged records of strangers: `ddbench leaderboard` shows them without a rank, and says why."""

import copy
import json
import subprocess

import forgeries
import pytest
from forgeries import TRUE, moved, nested, scored
from project import COMMAND

import ddbench as interface

RULES = {
    "sha256": "e" * 64,
    "datasets": ["fashion-mnist"],
    "time_limit": 60,
    "ipc": [20],
    "default_ipc": 20,
    "recipe": "quickstart/1",
    "repeats": 3,
}
HIGHER = [accuracy + 0.1 for accuracy in TRUE["accuracies"]]
UNEVEN = [TRUE["accuracies"][0] + 3e-5, TRUE["accuracies"][1] - 3e-5, TRUE["accuracies"][2]]
# 90 of 100 test images per class are classified correctly, with each of three seeds.
SMALL = [
    [270 if row == column else 30 * (column == (row + 1) % 10) for column in range(10)]
    for row in range(10)
]
FORGED = {
    "late": ({"status": "timeout"}, "status timeout"),
    "own-group": ({"category": "mine"}, "category mine instead of none"),
    "few-images": ({"ipc": 5}, "IPC 5 instead of 20"),
    "no-images": ({"ipc": 0}, "scored without images"),
    "fewer-than-asked": ({"ipc_asked": 50}, "status ok with 20 of 50 images per class"),
    "more-sampled": ({"generated_per_class": 30}, "30 of 20 images per class are sampled"),
    "none-sampled": ({"generated_per_class": 20, "sampled": 5}, "5 images sampled for a set with"),
    "more-time": (nested(TRUE, "seconds", limit=600), "time limit 600 s instead of 60 s"),
    "no-limit": (nested(TRUE, "seconds", limit=None), "no time limit instead of 60 s"),
    "slow": (nested(TRUE, "seconds", generate=70), "s within a limit of 60 s"),
    "used-more": (nested(TRUE, "seconds", used=90), "made in 90.0 s within a limit of 60 s"),
    "file-enforced": (nested(TRUE, "origin", kind="file"), "enforced limit for a set from a file"),
    "declared": ({"limit_enforced": False}, "declared limit for a set that a method made"),
    "other-recipe": ({"recipe": "dsa/1"}, "recipe dsa/1 instead of quickstart/1"),
    "changed-recipe": ({"recipe_sha256": "0" * 64}, "recipe 00000000 instead of"),
    "own-rules": ({"rules": RULES}, "rules eeeeeeee instead of rules of an installed track"),
    "student": ({"student": "mlp"}, "student mlp instead of convnet3"),
    "dataset": ({"dataset": "cifar10"}, "dataset cifar10 instead of fashion-mnist"),
    "track": ({"track": "marathon"}, "the track is not installed"),
    "shard": ({"shard": "0/2"}, "shard 0/2"),
    "merged": (nested(TRUE, "origin", shards=[{"run_id": "a"}]), "merged from 1 shard, each"),
    "one-seed": (scored(TRUE, TRUE["accuracies"][:1]), "1 seed instead of 3"),
    "unfinished": ({"repeats": 9}, "3 of 9 seeds scored"),
    "interrupted": ({"interrupted": True}, "status ok of a run that was interrupted or failed"),
    "same-seeds": ({"seeds": [4, 4, 4]}, "the same evaluation seed twice"),
    "higher": (scored(TRUE, HIGHER), "accuracies that do not match the confusion matrix"),
    "uneven": (scored(TRUE, UNEVEN), "accuracies that 10000 test images can't give"),
    "steady": ({"accuracy_std": 0.0}, "accuracy_std does not match the accuracies"),
    "no-matrix": ({"confusion": None}, "confusion matrix of 0 classes instead of 10"),
    "one-class": ({"confusion": [[30_000]]}, "confusion matrix of 1 class instead of 10"),
    "empty-matrix": ({"confusion": [[0] * 10] * 10}, "that is no sum over 3 seeds"),
    "better-matrix": (moved(TRUE, (0, 0, 6), (0, 1, -6)), "do not match the confusion matrix"),
    "more-tested": (moved(TRUE, (0, 1, 1)), "that is no sum over 3 seeds"),
    "easier-test": (moved(TRUE, (6, 0, -6), (0, 6, 6)), "other numbers of test images per class"),
    "small-test": (scored(TRUE, [0.9] * 3, SMALL), "1000 test images instead of 10000"),
    "large-counts": (moved(TRUE, (0, 1, 3 * 2**60)), "test images instead of 10000"),
    "other-test": ({"data_sha256": "0" * 64}, "test images 00000000 instead of 9a494dc4"),
    "unknown-test": ({"data_sha256": None}, "test images unknown instead of 9a494dc4"),
    "unknown-images": ({"images_sha256": None}, "no hash of the images"),
    "from-the-future": ({"created": "2999-01-01T00:00:00Z"}, "is in the future"),
    "undated": ({"created": "yesterday"}, "its date is not a time"),
    "excused": ({"not_comparable_because": [{"code": "ipc", "text": "Fine"}]}, "Fine"),
    "modest": ({"comparable": False}, "its record says so"),
}
REFUSED = {
    "unknown-status": {"status": "great"},
    "impossible": {"accuracies": [1.5, 0.9, 0.9]},
    "no-number": {"accuracy_mean": float("nan")},
    "mean-of-others": {"accuracy_mean": 0.99},
    "few-seeds": {"seeds": [0]},
    "negative-time": {"seconds": {**TRUE["seconds"], "generate": -1}},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a runs folder with an honest record among forged ones."""
    runs = tmp_path_factory.mktemp("forged") / "runs"
    forgeries.save(runs, TRUE, "honest")
    for name, (change, _) in FORGED.items():
        forgeries.save(runs, {**TRUE, **change}, name)
    for name, change in REFUSED.items():
        forgeries.save(runs, {**TRUE, **change}, name)
    return runs


def board(runs, *arguments):
    command = [COMMAND, "leaderboard", "--runs", runs, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # The code is 1 if records can't be read.
    assert done.returncode == ("can't be read" in done.stderr or "record.json" in done.stderr)
    return done


@pytest.fixture(scope="module")
def printed(runs):
    """Return the output of the leaderboard as JSON and as a table."""
    return board(runs, "--format", "json"), board(runs, "--format", "github")


def test_the_honest_run_alone_is_ranked(printed):
    ranks = {row["method"]: row["rank"] for row in json.loads(printed[0].stdout)}
    assert {name for name, rank in ranks.items() if rank} == {"honest"}
    assert ranks.keys() == {"honest", *FORGED}


@pytest.mark.parametrize("name", FORGED)
def test_forged_runs_have_a_row_without_a_rank_that_says_why(printed, name):
    _, reason = FORGED[name]
    (row,) = [row for row in json.loads(printed[0].stdout) if row["method"] == name]
    assert (row["rank"], row["comparable"]) == ("", False)
    assert any(reason in one["text"] for one in row["not_comparable_because"])
    (line,) = [line for line in printed[1].stdout.splitlines() if f"| {name} " in line]
    assert line.split("|")[1].strip() == ""
    assert (reason if name != "late" else "timeout") in line


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_records_are_named_and_skipped(printed, name):
    number = list({"honest": "", **FORGED, **REFUSED}).index(name)
    (line,) = [line for line in printed[0].stderr.splitlines() if f"/any/{number}/" in line]
    assert line.startswith("warning: skipped ")


def test_pages_python_and_show_agree(runs, printed, tmp_path, ddbench):
    ranks = {row["method"]: row["rank"] for row in json.loads(printed[0].stdout)}
    with pytest.warns(UserWarning, match="skipped"):
        rows = interface.leaderboard(runs)
    assert {row.record.method: row.rank for row in rows} == ranks
    board(runs, "--format", "html", "--output", tmp_path / "board")
    pages = [path.read_text() for path in (tmp_path / "board/runs").glob("*.html")]
    assert len(pages) == len(ranks)
    assert sum("<dt>ranked</dt><dd>yes</dd>" in page for page in pages) == 1
    forged = next(runs.glob("any/any/1/*"))
    assert "no: status timeout" in ddbench("show", forged).stdout
    assert json.loads(ddbench("show", forged, "--json").stdout)["comparable"]


def test_the_table_after_a_run_ranks_no_forged_record(ddbench, runs):
    command = ("run", "--method", "random-real", "--repeats", "0", "--device", "cpu")
    table = ddbench(*command, "--runs", runs).stdout
    ranked = [line for line in table.splitlines() if line[:1].isdigit()]
    assert len(ranked) == 1
    assert "honest" in ranked[0]


def same_images(runs, *changes):
    """Save runs with the same images; return method, rank and remarks of each row."""
    for change in changes:
        forgeries.write(runs, {**TRUE, **change})
    rows = json.loads(board(runs, "--format", "json").stdout)
    return [(row["method"], row["rank"]) for row in rows]


def test_a_team_counts_once_however_it_writes_its_name(tmp_path):
    names = ["Team A", "team a", "TEAM  A ", "Team\u200bA", "\uff34eam\u00a0A"]
    changes = [
        {"method": name, "run_id": f"run-{number}", "created": f"2026-01-0{number}T00:00:00Z"}
        for number, name in enumerate(names, 1)
    ]
    assert same_images(tmp_path, *changes) == [("Team A", "1")]
    assert same_images(tmp_path, {"seeds": [2, 1, 0], "method": "team A"}) == [("Team A", "1")]


def test_an_earlier_date_hides_nobody_elses_run(tmp_path):
    early = {"created": "2000-01-01T00:00:00Z", "run_id": "early"}
    rows = same_images(tmp_path, {"method": "owner"}, {"method": "thief", **early})
    assert sorted(rows) == [("owner", "1-2"), ("thief", "1-2")]
    table = board(tmp_path, "--format", "github").stdout
    assert "same images as thief" in table
    assert "same images as owner" in table


def test_a_forged_copy_does_not_hide_the_honest_run(tmp_path):
    """It has the name and the images of the team, and an earlier date."""
    forged = {
        **nested(copy.deepcopy(TRUE), "seconds", limit=600),
        "method": "Owner",
        "created": "2000-01-01T00:00:00Z",
        "run_id": "early",
    }
    assert same_images(tmp_path, {"method": "owner"}, forged) == [("owner", "1")]
