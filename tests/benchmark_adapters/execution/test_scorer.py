"""A team whose scoring exhausts memory doesn't stop the teams after it."""

import json
import shutil

import pytest

from benchmark_adapters.execution import devices
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


@pytest.mark.slow
def test_gpus_share_the_students_and_seeds(ddbench, example_folder, submission, monkeypatch):
    """The GPUs are faked: two processes on the CPU, each with one thread, do what one would do."""
    command = ("score", "team/few.pt", "--format", "eccv2024", "--track", "hidden", "--name", "T")
    options = ("--device", "cpu", "--repeats", "2", "--students", "convnet3,mlp", "--json")
    one_thread = {"OMP_NUM_THREADS": "1"}
    records = []
    for environments in ([one_thread], [one_thread, one_thread]):
        monkeypatch.setattr(
            devices, "scoring_environments", lambda name, tasks, chosen=environments: chosen
        )
        done = ddbench(*command, *options, path=[example_folder])
        assert done.returncode == 0, done.stderr
        records.append(json.loads(done.stdout))
    alone, shared = records
    assert shared["accuracies"] == alone["accuracies"]
    assert shared["other_students"] == alone["other_students"]
    assert (shared["seeds"], shared["confusion"]) == (alone["seeds"], alone["confusion"])
    assert [check["code"] for check in shared["checks"]] == [
        check["code"] for check in alone["checks"]
    ]


@pytest.mark.usefixtures("two_gpus")
def test_one_process_scores_on_each_gpu():
    gpus = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert devices.scoring_environments("auto", 6) == gpus
    assert devices.scoring_environments("cuda", 2) == gpus
    assert devices.scoring_environments("auto", 1) == [{}]
    assert devices.scoring_environments("cpu", 6) == [{}]


@pytest.fixture
def two_gpus(monkeypatch):
    """Fake two GPUs and their driver, so that the test runs without any."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
