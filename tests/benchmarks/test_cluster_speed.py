"""Sweeps on Ray: machines of one core each, which are really this one."""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import COMMAND
from timing import seconds_of

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ddbench[ray]'")
pytestmark = pytest.mark.cluster

ROUNDS, RUNS, SEEDS, EMPTY = 2, 30, 12, 1000
# Tasks of a run with one seed: make the set, train, put the record together.
STEPS = 3
SHORT = ("--method", "random-real", "--ipc", "1", "--repeats", "1", "--device", "cpu")
ONE_CORE = {**os.environ, "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def cluster(machines: int) -> Iterator[str]:
    """Yield the address of a cluster of so many machines with a core each."""
    from ray.cluster_utils import Cluster

    one = Cluster()
    try:
        for _ in range(machines):
            one.add_node(num_cpus=1, include_dashboard=False)
        yield one.address
    finally:
        one.shutdown()


def command_seconds(folder: Path, *words: object) -> float:
    """Return the duration of a command of ddbench, whose runs go to a new folder."""
    folder.mkdir()
    return seconds_of(
        lambda: subprocess.run(
            [COMMAND, *map(str, words)], cwd=folder, env=ONE_CORE, capture_output=True, check=True
        )
    )


def compare(tmp_path: Path, *words: object) -> dict[str, float]:
    """Return the median seconds of a command in this process, on one and on two machines."""
    taken: dict[str, list[float]] = {"local": [], "one": [], "two": []}
    for number, side in itertools.product(range(ROUNDS), taken):
        folder = tmp_path / f"{side}-{number}"
        if side == "local":
            own = ("--engine", "local", "--workers", "1", "--threads", "1")
            taken[side].append(command_seconds(folder, *words, *own))
            continue
        with cluster(1 if side == "one" else 2) as address:
            on_ray = ("--engine", "ray", "--address", address)
            taken[side].append(command_seconds(folder, *words, *on_ray))
    return {side: statistics.median(seconds) for side, seconds in taken.items()}


def show_all(show, what: str, seconds: dict[str, float]) -> None:
    for against in ("one", "local"):
        name = "one machine" if against == "one" else "no Ray"
        ratio = seconds[against] / seconds["two"]
        show(
            f"{what}: two machines, against {name}",
            f"{seconds['two']:.0f} s",
            f"{seconds[against]:.0f} s",
            f"{ratio:.2f}",
            "near 2",
        )


def test_speed_of_short_runs(show, tmp_path):
    seconds = compare(tmp_path, "sweep", *SHORT, "--seed", f"0..{RUNS - 1}")
    show_all(show, f"{RUNS} short runs", seconds)
    extra = (seconds["one"] - seconds["local"]) / (STEPS * RUNS)
    show("Ray, per task of a run", f"{extra:.2f} s", "no Ray", "", "< 1 s")


def test_speed_of_scoring_twelve_seeds(show, tmp_path):
    made = tmp_path / "made"
    command_seconds(made, "run", "--method", "random-real", "--repeats", "0", "--device", "cpu")
    words = ("export", "2", "--format", "native", "--output", "set")
    subprocess.run([COMMAND, *words], cwd=made, check=True)
    given = ("--name", "a-team", "--track", "quickstart", "--repeats", SEEDS, "--device", "cpu")
    show_all(show, f"scoring {SEEDS} seeds", compare(tmp_path, "score", made / "set", *given))


def test_speed_of_empty_tasks(show, tmp_path, monkeypatch):
    from benchmark_adapters.sweeps.engines.engine import Task
    from benchmark_adapters.sweeps.engines.ray_engine import Ray

    monkeypatch.chdir(tmp_path)
    with cluster(2) as address:
        found: list[Ray] = []
        start = seconds_of(lambda: found.append(Ray(address, None, [job(tmp_path)])))
        (engine,) = found
        # The first task of each machine starts a worker.
        finish(engine, {engine.submit(Task(int, ())) for _ in range(2)})
        wanted = {engine.submit(Task(int, ())) for _ in range(EMPTY)}
        seconds = seconds_of(lambda: finish(engine, wanted))
        engine.close()
    show("Ray, checks of two machines", f"{start:.1f} s", "", "", "")
    show(f"{EMPTY} empty tasks", f"{seconds:.1f} s", "", "", "< 1 s each")


def job(folder: Path):
    """Return a job, for which machines are checked."""
    from benchmark_adapters import plugins
    from benchmark_adapters.runs.request import Request, plan_runs
    from benchmark_adapters.sweeps import expected
    from benchmark_adapters.sweeps.jobs import Job
    from benchmark_adapters.sweeps.tasks import Item

    request = Request(method="random-real", track="quickstart", runs=folder / "runs", device="cpu")
    (plan,) = plan_runs(request, plugins.build())
    return Job("a job", Item(request, str(folder)), plan, expected.Expected(1.0, 1.0, 1))


def finish(engine, wanted: set[int]) -> None:
    """Wait for the answers of tasks, which must all be there."""
    while wanted:
        for number, answer in engine.wait(2.0):
            assert answer.failure is None
            wanted.remove(number)
