"""A sweep on a cluster whose machines are killed at random moments: every run is made once.

The machines are really this one, with a core each. One that was killed is replaced by a new one,
which gets work once it is checked.
"""

import contextlib
import json
import os
import random
import subprocess
import time
from collections import Counter
from functools import partial

import pytest
from project import COMMAND, installed, wait_for

from benchmark_adapters.runs import unfinished
from leaderboard.records import store

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ddbench[ray]'")
pytestmark = pytest.mark.faults

KILLS, SEEDS, REPEATS = 20, 50, 2
# Seconds between the moment a machine gets work and its end, at most.
LONGEST = 15.0
METHODS = ("good", "marks")


@pytest.fixture
def cluster(example_folder):
    """Yield a cluster of one machine, whose workers know the example plugin."""
    from ray.cluster_utils import Cluster

    with installed(example_folder):
        cluster = Cluster()
        try:
            cluster.add_node(num_cpus=1, include_dashboard=False)
            yield cluster
        finally:
            cluster.shutdown()


def has(output, text, times):
    return output.read_text().count(text) >= times


def kill_machines(cluster, machine, output, command):
    """Kill the second machine again and again; return how often."""
    draws = random.Random(0)
    for number in range(KILLS):
        began = ("ended making", 1) if number == 0 else (" joined\n", number)
        wait_for(partial(has, output, *began))
        time.sleep(draws.uniform(0, LONGEST))
        assert command.poll() is None, "the sweep ended before the last kill: more SEEDS are needed"
        cluster.remove_node(machine, allow_graceful=False)
        machine = cluster.add_node(num_cpus=1)


def accuracies(folder, seed, shell, example_folder):
    words = ("--method", "good", "--track", "few", "--device", "cpu", "--seed", str(seed))
    done = shell(
        "run", *words, "--runs", folder, "--json", path=[example_folder], OMP_NUM_THREADS="1"
    )
    return json.loads(done.stdout)["accuracies"]


def test_every_run_is_made_once(cluster, shell, example_folder, tmp_path, measured):
    machine, output = cluster.add_node(num_cpus=1), tmp_path / "output"
    words = [word for method in METHODS for word in ("--method", method)]
    words += ["--track", "few", "--device", "cpu", "--seed", f"0..{SEEDS - 1}"]
    environment = {**os.environ, "PYTHONPATH": str(example_folder)}
    began = time.monotonic()
    with output.open("w") as file, contextlib.ExitStack() as stack:
        command = subprocess.Popen(
            [COMMAND, "sweep", *words, "--engine", "ray", "--address", cluster.address],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
        stack.callback(command.kill)
        kill_machines(cluster, machine, output, command)
        assert command.wait(timeout=3600) == 0, output.read_text()[-3000:]
    seconds = time.monotonic() - began
    text = output.read_text()
    folders = list(store.runs_in([tmp_path / "runs"]))
    made = Counter((one.method, one.seed) for one in map(store.read, folders))
    assert made == {(method, seed): 1 for method in METHODS for seed in range(SEEDS)}
    assert unfinished.entries(tmp_path / "runs") == []
    by_seed = {one.seed: one for one in map(store.read, folders) if one.method == "good"}
    for seed in (0, SEEDS - 1):
        assert by_seed[seed].accuracies == accuracies("plain", seed, shell, example_folder)
    measured(
        **{
            "machines killed": KILLS,
            "runs": len(folders),
            "made twice or lost": 0,
            "tasks that were done again": text.count("again: "),
            "students trained": f"{text.count('ended training')} of {REPEATS * len(folders)}",
            "minutes": f"{seconds / 60:.0f}",
        }
    )
