"""Many runs in one process: it keeps nothing of them, and neither does the disk."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.faults

EARLY, RUNS = 50, 300
# Bytes of the images of one run. If one set in ten were kept, the bound would be broken.
PER_CLASS = 50
SET = PER_CLASS * 10 * 28 * 28
MAX_GROWTH = (RUNS - EARLY) * SET // 10

# Every tenth run is scored. All processes of methods and students are real.
MANY = """
import gc, json, os, sys
from pathlib import Path
import psutil
import ddbench
from leaderboard.records import store

early, runs, per_class = map(int, sys.argv[1:])
this, found = psutil.Process(), []
for number in range(1, runs + 1):
    record = ddbench.run(
        "good", "few", ipc=per_class, seed=number, repeats=int(number % 10 == 0), device="cpu"
    )
    assert record.status == "ok", record.message
    if number in (early, runs):
        gc.collect()
        found.append({
            "runs": len(list(store.runs_in([Path("runs")]))),
            "memory": this.memory_info().rss,
            "descriptors": this.num_fds(),
            "threads": this.num_threads(),
            "children": len(this.children(recursive=True)),
            "leftovers": len(store.leftovers([Path("runs")])),
            "temporary": len(os.listdir(os.environ["TMPDIR"])),
        })
print(json.dumps(found))
"""


def test_many_runs_in_one_process_leave_nothing(example_folder, tmp_path, measured):
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", MANY, *map(str, (EARLY, RUNS, PER_CLASS))],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(example_folder),
            "TMPDIR": str(tmp_path / "tmp"),
        },
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr
    early, late = json.loads(done.stdout.splitlines()[-1])
    for one in (early, late):
        measured(
            **{
                "after runs": one["runs"],
                "memory in MB": round(one["memory"] / 2**20),
                "open descriptors": one["descriptors"],
                "threads": one["threads"],
                "child processes": one["children"],
                "leftovers": one["leftovers"],
                "temporary files": one["temporary"],
            }
        )
    # Torch keeps one temporary folder for all processes of a user.
    same = ("descriptors", "threads", "children", "leftovers", "temporary")
    assert {name: late[name] for name in same} == {name: early[name] for name in same}
    assert (early["runs"], late["runs"]) == (EARLY, RUNS)
    assert (late["children"], late["leftovers"]) == (0, 0)
    assert late["memory"] - early["memory"] < MAX_GROWTH
