"""Listing, filtering and removing runs."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from project import ROOT

from leaderboard import files
from leaderboard.records import store


@pytest.fixture
def runs(tmp_path):
    """Return a copy of the runs behind the results."""
    return shutil.copytree(ROOT / "docs/runs", tmp_path / "runs")


def listed(ddbench, *arguments):
    done = ddbench("runs", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_runs_are_listed_with_status_and_size_oldest_first(ddbench, runs):
    rows = listed(ddbench)
    assert [row["created"] for row in rows] == sorted(row["created"] for row in rows)
    assert {row["status"] for row in rows} == {"ok"}
    for row in rows:
        files = [file for file in (runs.parent / row["folder"]).iterdir() if file.is_file()]
        assert row["bytes"] == sum(file.stat().st_size for file in files)
    table = ddbench("runs")
    assert all(row["run_id"] in table.stdout for row in rows)
    assert table.stderr.startswith(f"{len(rows)} runs, ")


def test_filters_select_runs(ddbench, runs):
    everything = listed(ddbench)
    for name, value in (("method", "kmeans"), ("track", "quickstart"), ("dataset", "cifar10")):
        chosen = listed(ddbench, f"--{name}", value)
        assert chosen == [row for row in everything if row[name] == value]
    assert listed(ddbench, "--status", "error") == []
    assert ddbench("runs", "--status", "late").returncode == 2


def test_the_newest_runs_are_listed_and_the_others_not_read(ddbench, runs):
    everything = [row["run_id"] for row in listed(ddbench)]
    assert [row["run_id"] for row in listed(ddbench, "--last", "2")] == everything[-2:]
    oldest = store.find(everything[0], [runs])
    (oldest / store.RECORD).write_text("{")
    done = ddbench("runs", "--last", "3")
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == everything[-3:]
    assert done.stderr.startswith("the newest 3 runs, ")
    assert done.stderr.endswith("; --last 0 lists all\n")
    assert done.returncode == 0
    done = ddbench("runs", "--last", "0")
    assert oldest.name in done.stderr
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2 + len(everything) - 1


def test_filters_look_for_as_many_runs_as_asked(ddbench, runs):
    chosen = [row["run_id"] for row in listed(ddbench, "--method", "kmeans")]
    newest = listed(ddbench, "--method", "kmeans", "--last", "1")
    assert [row["run_id"] for row in newest] == chosen[-1:]


def test_filters_of_the_leaderboard_change_no_rank(ddbench, runs):
    def ranks(*arguments):
        done = ddbench("leaderboard", "--format", "json", *arguments)
        return {row["run_id"]: row["rank"] for row in json.loads(done.stdout)}

    everything = ranks()
    chosen = ranks("--method", "kmeans")
    assert chosen
    assert chosen.items() < everything.items()
    done = ddbench("leaderboard", "--format", "html", "--output", "board", "--method", "kmeans")
    assert "select rows of tables, not of pages" in done.stderr


def test_a_table_goes_to_a_file_a_linked_file_or_a_device(ddbench, runs, tmp_path):
    (tmp_path / "link.md").symlink_to("table.md")
    for name in ("table.md", "link.md", "/dev/null"):
        done = ddbench("leaderboard", "--output", name)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "link.md").is_symlink()
    assert "kmeans" in (tmp_path / "table.md").read_text()
    assert not os.path.isfile("/dev/null")


def test_rm_removes_runs_and_empty_folders(ddbench, runs):
    first, second, *rest = [row["run_id"] for row in listed(ddbench, "--track", "quickstart")]
    asked = ddbench("rm", first)
    assert asked.returncode == 1
    assert len(listed(ddbench)) > len(rest) + 1
    done = ddbench("rm", first, second[:18], "--yes")
    assert done.returncode == 0, done.stderr
    left = [row["run_id"] for row in listed(ddbench, "--track", "quickstart")]
    assert left == rest
    done = ddbench("rm", *rest, "nothing", "--yes")
    assert (done.returncode, "no run 'nothing'" in done.stderr) == (2, True)
    assert [row["run_id"] for row in listed(ddbench, "--track", "quickstart")] == rest
    assert ddbench("rm", *rest, "--yes").returncode == 0
    assert not (runs / "quickstart").exists()
    assert (runs / "fashion-mnist").exists()


# Leaves everything that a killed process can leave, and keeps one run open until it is told to end.
UNFINISHED = """
import os, sys
from pathlib import Path
from leaderboard import files
from leaderboard.records import store

runs = Path("runs")
if os.fork() == 0:
    with (
        store.new_run(runs, "t", "d", "m") as folder,
        files.replacing_folder(Path("board")) as page,
        files.replacing(runs / "plans" / "plan.json") as plan,
    ):
        (folder / "images.safetensors").write_bytes(bytes(10**6))
        removed = next(store.runs_in([runs]))
        removed.rename(files.scratch_name(removed))
        os._exit(9)
os.wait()
with store.new_run(runs, "t", "d", "m"), files.new_folder(Path("set")):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_leftovers_of_killed_processes_are_named_and_removed_on_demand(ddbench, runs, tmp_path):
    living = subprocess.Popen(
        [sys.executable, "-c", UNFINISHED],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert living.stdout.readline() == "ready\n"
        before = listed(ddbench)
        said = ddbench("runs")
        assert said.returncode == 0
        left = [line for line in said.stderr.splitlines() if line.startswith("unfinished: ")]
        assert sorted(line.split(", ")[1] for line in left) == [
            "a file or folder that was being written",
            "a file or folder that was being written",
            "a run that was being removed",
            "a run that was cut off",
        ]
        assert any("runs/t/d/m/." in line and line.endswith(", 1.0 MB") for line in left)
        assert ddbench("rm").returncode == 2
        assert ddbench("rm", "--unfinished").returncode == 1
        assert len(store.leftovers([runs])) == 4
        done = ddbench("rm", "--unfinished", "--yes")
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 4)
        assert "unfinished" not in ddbench("runs").stderr
        # The living process still has its folders.
        assert len(list((runs / "t" / "d" / "m").iterdir())) == 1
        assert sum(bool(files.SCRATCH.match(path.name)) for path in tmp_path.iterdir()) == 1
        assert listed(ddbench) == before
        assert ddbench("rm", "--unfinished", "--yes").returncode == 0
    finally:
        living.communicate("")
    assert living.returncode == 0
    assert (tmp_path / "set").is_dir()


def test_rm_goes_on_after_a_run_that_cannot_be_removed(ddbench, runs, monkeypatch):
    """Root may remove everything, so the system's refusal is replaced."""
    first, second = [row["run_id"] for row in listed(ddbench, "--track", "quickstart")][:2]
    remove = store.remove

    def refuse(folder):
        if folder.name == first:
            raise PermissionError(13, "Permission denied")
        remove(folder)

    monkeypatch.setattr(store, "remove", refuse)
    done = ddbench("rm", first, second, "--yes")
    assert done.returncode == 1
    assert f"{first} can't be removed: Permission denied" in done.stderr
    assert second not in [row["run_id"] for row in listed(ddbench)]
