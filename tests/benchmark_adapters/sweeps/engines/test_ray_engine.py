"""Sweeps on a cluster of two machines, which are really this one, with a core each."""

import json

import pytest
from project import installed, wait_for
from small_runs import kept

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


@pytest.mark.slow
def test_a_lost_machine_costs_only_its_tasks(cluster, started, shell, example_folder, tmp_path):
    cluster, (_, second) = cluster
    on_ray = ("--engine", "ray", "--address", cluster.address)
    command = started("sweep", *WORDS, "--seed", "0..1", *on_ray)

    def seeds():
        return sum(len(list((work / "seeds").glob("*.json"))) for work in kept(tmp_path))

    wait_for(lambda: seeds() >= 2 or command.poll() is not None)
    cluster.remove_node(second, allow_graceful=False)
    _, errors = command.communicate(timeout=300)
    assert command.returncode == 0, errors
    assert "on 2 machines with 1 CPUs and 0 GPUs each" in errors
    assert "again: " in errors
    made = {(one.method, one.seed): one for _, one in store.entries([tmp_path / "runs"])[0]}
    assert len(made) == len(list(store.runs_in([tmp_path / "runs"]))) == 4
    assert kept(tmp_path) == []
    assert errors.count("ended training") == 8
    assert errors.count("ended making") == 4
    plain = ("run", *WORDS[:2], *WORDS[4:], "--seed", "1", "--runs", "plain", "--json")
    done = shell(*plain, path=[example_folder], OMP_NUM_THREADS="1")
    assert made["good", 1].accuracies == json.loads(done.stdout)["accuracies"]
    assert made["good", 1].scoring.threads == 1
