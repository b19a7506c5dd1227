"""Listing, filtering and removing runs."""

import json
import shutil

import pytest
from project import ROOT


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
