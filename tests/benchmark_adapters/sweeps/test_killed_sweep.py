"""The command, its workers and its methods as real processes, which are killed."""

import json
import os
import signal

import psutil
import pytest
from project import wait_for
from small_runs import kept, seed_files

from leaderboard.records import store

pytestmark = pytest.mark.slow

WORDS = ("sweep", "--method", "good", "--method", "marks", "--track", "few", "--device", "cpu")
FOUR = (*WORDS, "--seed", "0..1", "--workers", "2", "--threads", "1")


def records(folder):
    """Return the records of all runs, of which there is one for each method and seed."""
    found = {}
    for _, record in store.entries([folder])[0]:
        assert (record.method, record.seed) not in found
        found[record.method, record.seed] = record
    return found


def saved(tmp_path):
    """Return the finished seeds of each unfinished run."""
    return {
        work.name: [json.loads(file.read_text()) for file in seed_files(work)]
        for work in kept(tmp_path)
    }


@pytest.fixture
def plain(shell, example_folder, tmp_path):
    """Return the accuracies of the same runs as `ddbench run` makes them with one thread."""
    found = {}
    for method, seed in (("good", 0), ("marks", 1)):
        words = ("run", "--method", method, "--track", "few", "--device", "cpu", "--runs", "plain")
        done = shell(*words, "--seed", seed, "--json", path=[example_folder], OMP_NUM_THREADS="1")
        found[method, seed] = json.loads(done.stdout)["accuracies"]
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_is_killed_goes_on(started, shell, example_folder, tmp_path, plain, number):
    command = started(*FOUR)
    wait_for(lambda: sum(map(len, saved(tmp_path).values())) >= 3)
    command.send_signal(number)
    command.wait()
    before = saved(tmp_path)
    assert len(before) == 4
    done = shell(*FOUR, path=[example_folder])
    assert done.returncode == 0, done.stderr
    made = records(tmp_path / "runs")
    assert {record.run_id for record in made.values()} == set(before)
    assert {key: made[key].accuracies for key in plain} == plain
    # A seed that is trained twice takes another time.
    for record in made.values():
        if len(before[record.run_id]) == 2:
            assert record.seconds.evaluate == sum(one["seconds"] for one in before[record.run_id])
    assert done.stderr.count("ended training") == 8 - sum(map(len, before.values()))
    assert done.stderr.count("ended making") == 0
    assert kept(tmp_path) == []


def test_a_sweep_that_is_killed_while_a_method_runs_goes_on(
    started, shell, example_folder, tmp_path
):
    """The method sleeps after three batches, until a process has tried it."""
    words = ("sweep", "--method", "naps", "--track", "few", "--ipc", "5", "--repeats", "1")
    command = started(*words, "--device", "cpu")
    wait_for((tmp_path / "asleep").exists)
    command.kill()
    command.wait()
    (work,) = kept(tmp_path)
    done = shell(*words, "--device", "cpu", path=[example_folder], ASLEEP=tmp_path / "asleep")
    record = records(tmp_path / "runs")["naps", 0]
    assert (record.run_id, record.status, record.ipc) == (work.name, "ok", 5), done.stderr
    first, second, *_ = record.sessions
    assert record.seconds.used == pytest.approx(first.used + second.used)


def test_a_killed_worker_costs_only_its_task(started, tmp_path):
    command = started(*FOUR)
    wait_for(lambda: sum(map(len, saved(tmp_path).values())) >= 1)
    workers = [
        child
        for child in psutil.Process(command.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]
    os.kill(workers[0].pid, signal.SIGKILL)
    _, errors = command.communicate()
    assert (command.returncode, errors.count("its worker was killed")) == (0, 1), errors
    assert "leaked" not in errors
    assert errors.count("ended making") == 4
    assert len(records(tmp_path / "runs")) == 4
    # What was lost was trained again, and nothing else.
    assert errors.count("ended training") == 8


def test_a_sweep_that_is_killed_goes_on_with_its_shards(started, shell, example_folder, tmp_path):
    words = ("sweep", "--method", "divided", "--track", "few", "--ipc", "9", "--shards", "3")
    words = (*words, "--device", "cpu", "--workers", "2", "--threads", "1")
    command = started(*words)
    wait_for(lambda: list(store.runs_in([tmp_path / "runs"])))
    command.kill()
    command.wait()
    before = {folder.name for folder in store.runs_in([tmp_path / "runs"])}
    done = shell(*words, path=[example_folder])
    assert done.returncode == 0, done.stderr
    made = [record for _, record in store.entries([tmp_path / "runs"])[0]]
    shards = [record for record in made if record.shard]
    (joined,) = [record for record in made if not record.shard]
    assert sorted(one.shard for one in shards) == ["0/3", "1/3", "2/3"]
    assert before <= {one.run_id for one in shards}
    assert (joined.status, joined.ipc, len(joined.origin.shards)) == ("ok", 9, 3)
    plain = ("run", *words[1:7], "--device", "cpu", "--runs", "plain", "--json")
    done = shell(*plain, path=[example_folder], OMP_NUM_THREADS="1")
    alone = json.loads(done.stdout)
    assert (joined.images_sha256, joined.accuracies) == (
        alone["images_sha256"],
        alone["accuracies"],
    )
