"""Seconds of one core and memory of the leaderboard and of the list of 100,000 runs.

Making them takes some minutes and a gigabyte of disk.
"""

import os
import subprocess
import sys

import pytest
from many_records import write
from project import COMMAND

pytestmark = pytest.mark.bench

COUNT = 100_000
# A process counts the memory of its parent until it starts its program, so the parent is small.
SMALL_PARENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "runs"
    write(folder, COUNT)
    return folder


@pytest.mark.parametrize("command", ["leaderboard", "runs"])
def test_speed_and_memory_with_100_000_records(show, many, tmp_path, command):
    for time in ("first time", "again"):
        seconds, peak, text = measured([COMMAND, command, "--runs", many], tmp_path)
        what = f"ddbench {command}, {COUNT:,} records, {time}"
        show(what, f"{seconds:.1f} s, {peak:.0f} MB", "", "", "" if time != "again" else "< 10 s")
        assert text.count("\n") > 1000


def measured(command, cache):
    """Return CPU seconds, the largest memory in MB, and the output of a command."""
    done = subprocess.run(
        [sys.executable, "-c", SMALL_PARENT, *command],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, peak = map(float, done.stderr.splitlines()[-1].split())
    return seconds, peak, done.stdout
