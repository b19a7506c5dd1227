"""Sweeps on a cluster of two machines, which are really this one, with a core each."""

import contextlib
import json
import signal

import psutil
import pytest
from project import installed, wait_for
from small_runs import kept, seed_files

from benchmark_adapters.runs import unfinished
from leaderboard.records import store

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ddbench[ray]'")

WORDS = ("--method", "good", "--method", "marks", "--track", "few", "--device", "cpu")


@pytest.fixture
def cluster(example_folder):
    """Yield a cluster of two machines, whose workers know the example plugin."""
    from ray.cluster_utils import Cluster

    with installed(example_folder):
        cluster = Cluster()
        try:
            yield cluster, [cluster.add_node(num_cpus=1, include_dashboard=False) for _ in "ab"]
        finally:
            cluster.shutdown()


def lose(cluster, machine):
    """Take a machine away while a task is at work there, which can't end any more."""
    (raylet,) = [one.process for one in machine.all_processes["raylet"]]

    def stopped():
        processes = psutil.Process(raylet.pid).children(recursive=True)
        names = [send(one, signal.SIGSTOP) for one in processes]
        if any(name.startswith("ray::_work") for name in names):
            return processes
        for one in processes:
            send(one, signal.SIGCONT)
        return []

    found = []
    wait_for(lambda: found.extend(stopped()) or found)
    cluster.remove_node(machine, allow_graceful=False)
    for one in found:
        send(one, signal.SIGKILL)


def send(process, number):
    """Send a signal to a process, and return its name; empty: it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        return process.name()
    return ""


def seeds(tmp_path):
    """Return the number of finished seeds of unfinished runs."""
    return sum(len(seed_files(work)) for work in kept(tmp_path))


def test_a_lost_machine_costs_only_its_tasks(cluster, started, tmp_path):
    cluster, (_, second) = cluster
    once = ("--repeats", "1")
    on_ray = ("--engine", "ray", "--address", cluster.address)
    command = started("sweep", *WORDS, *once, *on_ray)
    lose(cluster, second)
    _, errors = command.communicate(timeout=300)
    assert command.returncode == 0, errors
    assert "on 2 machines with 1 CPUs and 0 GPUs each" in errors
    assert "again: " in errors
    made = {(one.method, one.seed): one for _, one in store.entries([tmp_path / "runs"])[0]}
    assert len(made) == len(list(store.runs_in([tmp_path / "runs"]))) == 2
    assert unfinished.entries(tmp_path / "runs") == []
    assert errors.count("ended training") == 2
    assert errors.count("ended making") == 2
    assert made["good", 0].scoring.threads == 1


@pytest.mark.slow
def test_a_machine_that_joins_gets_work(cluster, started, shell, example_folder, tmp_path):
    cluster, (_, second) = cluster
    on_ray = ("--engine", "ray", "--address", cluster.address)
    command = started("sweep", *WORDS, "--seed", "0..3", *on_ray)
    wait_for(lambda: kept(tmp_path))
    cluster.remove_node(second, allow_graceful=False)
    third = cluster.add_node(num_cpus=1)
    for line in command.stderr:
        if line.endswith(" joined\n"):
            break
    lose(cluster, third)
    _, errors = command.communicate(timeout=300)
    assert command.returncode == 0, errors
    assert "again: " in errors
    made = {(one.method, one.seed): one for _, one in store.entries([tmp_path / "runs"])[0]}
    assert len(made) == len(list(store.runs_in([tmp_path / "runs"]))) == 8
    plain = ("run", *WORDS[:2], *WORDS[4:], "--seed", "3", "--runs", "plain", "--json")
    done = shell(*plain, path=[example_folder], OMP_NUM_THREADS="1")
    assert made["good", 3].accuracies == json.loads(done.stdout)["accuracies"]


@pytest.mark.slow
def test_a_killed_command_goes_on_with_the_cluster(
    cluster, started, shell, example_folder, tmp_path
):
    cluster, _ = cluster
    words = ("sweep", *WORDS, "--engine", "ray", "--address", cluster.address)
    command = started(*words)
    wait_for(lambda: seeds(tmp_path) >= 2 or command.poll() is not None)
    command.kill()
    command.wait()
    ids, before = {work.name for work in kept(tmp_path)}, seeds(tmp_path)
    done = shell(*words, path=[example_folder])
    assert done.returncode == 0, done.stderr
    found = [record for _, record in store.entries([tmp_path / "runs"])[0]]
    assert sorted(record.method for record in found) == ["good", "marks"]
    assert ids <= {record.run_id for record in found}
    assert done.stderr.count("ended training") <= 4 - before
    assert unfinished.entries(tmp_path / "runs") == []


@pytest.mark.slow
def test_a_lost_machine_costs_only_its_unfinished_shard(
    cluster, started, shell, example_folder, tmp_path
):
    cluster, (_, second) = cluster
    words = ("--method", "divided", "--track", "few", "--ipc", "9", "--device", "cpu")
    on_ray = ("--engine", "ray", "--address", cluster.address)
    command = started("sweep", *words, "--shards", "4", "--repeats", "1", *on_ray)

    def finished():
        return [record for _, record in store.entries([tmp_path / "runs"])[0] if record.shard]

    wait_for(lambda: finished() or command.poll() is not None)
    before = {record.run_id for record in finished()}
    cluster.remove_node(second, allow_graceful=False)
    _, errors = command.communicate(timeout=300)
    assert command.returncode == 0, errors
    assert before
    assert sorted(record.shard for record in finished()) == ["0/4", "1/4", "2/4", "3/4"]
    assert before <= {record.run_id for record in finished()}
    (joined,) = [one for _, one in store.entries([tmp_path / "runs"])[0] if not one.shard]
    assert (joined.status, len(joined.origin.shards)) == ("ok", 4)
    done = shell(
        "run", *words, "--repeats", "0", "--runs", "plain", "--json", path=[example_folder]
    )
    assert done.returncode == 0, done.stderr
    assert joined.images_sha256 == json.loads(done.stdout)["images_sha256"]
