"""`ddbench score TEAMS --engine` scores each set once, in small tasks."""

import json
import shutil

import pytest
from small_runs import kept

from benchmark_adapters.sweeps import tasks
from leaderboard.records import store

SCORE = ("score", "teams", "--format", "eccv2024", "--track", "few", "--device", "cpu")


@pytest.fixture
def teams(exported, tmp_path):
    """Return a folder with the sets of two teams, and one that can't be read."""
    for name in ("ada", "bob"):
        shutil.copytree(exported, tmp_path / "teams" / name)
    (tmp_path / "teams" / "eve").mkdir()
    (tmp_path / "teams" / "eve" / "few.pt").write_bytes(b"nothing")
    return tmp_path / "teams"


@pytest.fixture
def score(ddbench, example_folder, inline, teams, untrained_probe):
    """Return a function that scores the teams with an engine, or without one."""
    return lambda *words: ddbench(*SCORE, *words, path=[example_folder])


def test_teams_are_scored_as_without_an_engine_and_once(score, inline, teams, tmp_path):
    done = score("--engine", "local", "--threads", "1", "--json")
    records = {one["method"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 1
    assert [done[0] for done in inline.done].count("train") == 4
    assert (records["eve"]["status"], "failed: few / few / eve" in done.stderr) == ("invalid", True)
    plain = {one["method"]: one for one in json.loads(score("--json", "--runs", "plain").stdout)}
    for name in ("ada", "bob"):
        assert records[name]["accuracies"] == plain[name]["accuracies"]
        assert records[name]["checks"] == plain[name]["checks"]
        assert records[name]["comparable"] == plain[name]["comparable"]
    again = score("--engine", "local", "--json")
    assert "2 sets were scored before with the same images, rules and seeds" in again.stderr
    assert {one["run_id"] for one in json.loads(again.stdout)} > {
        records[name]["run_id"] for name in ("ada", "bob")
    }
    assert [done[0] for done in inline.done].count("train") == 4
    assert kept(tmp_path) == []


def test_a_changed_set_is_scored_and_an_interrupted_one_goes_on(
    score, inline, teams, exported, tmp_path
):
    shutil.rmtree(teams / "eve")
    shutil.rmtree(teams / "bob")

    def stop(task):
        if task.function is tasks.finish:
            raise KeyboardInterrupt

    inline.loses = stop
    assert score("--engine", "local").returncode == 1
    (work,) = kept(tmp_path)
    inline.loses, inline.waiting = lambda task: False, {}
    done = score("--engine", "local", "--json")
    record = json.loads(done.stdout)
    assert (record["run_id"], record["status"]) == (work.name, "ok")
    assert [done[0] for done in inline.done].count("train") == 2
    assert len(list(store.runs_in([tmp_path / "runs"]))) == 1
    other = score("--engine", "local", "--json", "--seed", "7")
    assert json.loads(other.stdout)["seeds"] == [7, 8]


def test_an_engine_is_for_files_alone(ddbench, real_runs, inline):
    done = ddbench("score", next(store.runs_in([real_runs])), "--engine", "local")
    assert (done.returncode, "--engine is for files" in done.stderr) == (2, True)
