"""Processes killed at any moment leave whole runs, and leftovers that are recognised."""

import json
import os
import signal
import subprocess
import sys

import pytest
from project import TESTS

# The parent imports once and forks each process that it kills. What it finds after each kill is
# checked in the parent, since it has imported everything.
KILLS = """
import json, os, random, signal, sys, time
from itertools import count
from pathlib import Path
import in_process
from small_runs import run
from benchmark_adapters.execution import discovery, sandbox, supervisor
from benchmark_adapters.runs import derived, export, read
from leaderboard.records import store
from leaderboard.render import pages

supervisor.supervise = in_process.supervise
sandbox.run = in_process.run
disk, installed = Path(sys.argv[1]), discovery.installed()
runs = disk / "runs"

def step(name):
    folder, _ = run(installed, disk, "random-real", repeats=0)
    pages.write(store.entries([runs])[0][-3:], disk / "board")
    find = installed.datasets.require
    export.export([folder], installed.formats["eccv2024"], installed, disk / name, find)

def work(turn):
    for number in count():
        step(f"set-{turn}-{number}")

def survey():
    whole = {folder: read.damage(folder, record) for folder, record in store.entries([runs])[0]}
    left = {leftover.path for leftover in store.leftovers([runs])}
    folders = set((runs / "few/few/random-real").iterdir()) | set(disk.iterdir())
    exports = {path for path in disk.glob("set-*") if (path / "few.pt").stat().st_size > 60_000}
    strangers = folders - set(whole) - left - exports - {runs, disk / "board"}
    return {
        "problems": store.entries([runs])[1] + [text for text in whole.values() if text],
        "strangers": sorted(map(str, strangers)),
        "board": (disk / "board/index.html").is_file(),
        "runs": len(whole),
        "left": len(left),
    }

step("set-first")
began = time.monotonic()
step("set-second")
pace, found, chance = time.monotonic() - began, [], random.Random(1)
for turn in range(int(sys.argv[2])):
    pid = os.fork()
    if pid == 0:
        work(turn)
    time.sleep(chance.uniform(0, 2.5 * pace))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    found.append(survey())
for leftover in store.leftovers([runs]):
    store.clear(leftover.path)
print(json.dumps([found, survey()]))
"""


@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_what_a_killed_process_leaves_is_whole_or_recognised(example_folder, tmp_path, kills):
    places = [TESTS / "support", example_folder]
    done = subprocess.run(
        [sys.executable, "-c", KILLS, tmp_path / "disk", str(kills)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))},
        capture_output=True,
        text=True,
        timeout=50 + 5 * kills,
    )
    assert done.returncode == 0, done.stderr
    found, cleared = json.loads(done.stdout.splitlines()[-1])
    for one in [*found, cleared]:
        assert (one["problems"], one["strangers"], one["board"]) == ([], [], True)
    counts = [one["runs"] for one in found]
    assert counts == sorted(counts)
    assert counts[-1] > kills / 4
    # Of many kills, some come while something is being written.
    assert found[-1]["left"] > 0 or kills < 10
    assert (cleared["left"], cleared["runs"]) == (0, counts[-1])


# The process dies when scoring begins.
DIES = """
import os, signal, sys
from pathlib import Path
import in_process
from small_runs import run
from benchmark_adapters.execution import discovery, sandbox, supervisor

supervisor.supervise = in_process.supervise
sandbox.run = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
run(discovery.installed(), Path(sys.argv[1]), "random-real")
"""


def test_images_outlive_a_process_that_is_killed_while_it_scores(ddbench, example_folder, tmp_path):
    places = [TESTS / "support", example_folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    killed = subprocess.run([sys.executable, "-c", DIES, tmp_path], env=environment)
    assert killed.returncode == -signal.SIGKILL
    listed = ddbench("runs", "--json")
    (run,) = json.loads(listed.stdout)
    assert (run["status"], listed.returncode) == ("error", 0)
    shown = ddbench("show", run["run_id"])
    assert "it was cut off (the images are saved)" in shown.stdout
    assert shown.returncode == 0
    scored = ddbench("score", run["run_id"], path=[example_folder])
    assert scored.returncode == 0, scored.stderr
    rows = json.loads(ddbench("runs", "--json").stdout)
    # Runs of the same second come in any order.
    assert sorted(row["status"] for row in rows) == ["error", "ok"]
