"""A team whose scoring exhausts memory doesn't stop the teams after it."""

import shutil

import pytest

from leaderboard.records import store

pytestmark = pytest.mark.usefixtures("real_sandbox")


def test_team_that_exhausts_memory_does_not_stop_the_next_team(
    ddbench, example_folder, submission, tmp_path
):
    """Both sets are decoded, then the student of the first team allocates 4 GiB."""
    for team in ("a", "b"):
        (tmp_path / "teams" / team).mkdir(parents=True)
        shutil.copy(submission / "few.pt", tmp_path / "teams" / team / "fewhidden.pt")
    limits = ("--max-memory", "3", "--students", "hungry-once", "--repeats", "1")
    command = ("score", "teams", "--format", "eccv2024", "--track", "hidden", "--device", "cpu")
    hungry = str(tmp_path / "hungry")
    done = ddbench(*command, *limits, path=[example_folder], HUNGRY=hungry)
    assert done.returncode == 1
    records = {
        store.read(run).method: store.read(run) for run in store.runs_in([tmp_path / "runs"])
    }
    first, second = records["a"], records["b"]
    assert (first.status, first.failed_stage, first.n, first.ipc) == ("error", "scoring", 0, 2)
    assert "MemoryError" in first.message
    assert (second.status, second.n) == ("ok", 1)
