"""Seconds of one core and memory of the leaderboard and of the list of 10,000 and 100,000 runs.

Making them takes some minutes and a gigabyte of disk.
"""

import os
import subprocess
import sys

import pytest
from many_records import write
from project import COMMAND

pytestmark = pytest.mark.bench

COUNTS = (10_000, 100_000)
# MB by which memory may grow between the two.
GROWTH = 20
# A process counts the memory of its parent until it starts its program, so the parent is small.
SMALL_PARENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Return a runs folder for each count."""
    folders = {count: tmp_path_factory.mktemp("many") / "runs" for count in COUNTS}
    for count, folder in folders.items():
        write(folder, count)
    return folders


@pytest.mark.parametrize("command", ["leaderboard", "runs"])
def test_speed_and_memory_with_100_000_records(show, many, tmp_path, command):
    peaks = {}
    for count, folder in many.items():
        for time in ("first time", "again"):
            seconds, peak, text = measured([COMMAND, command, "--runs", folder], tmp_path)
            what = f"ddbench {command}, {count:,} records, {time}"
            target = "< 10 s" if time == "again" else ""
            show(what, f"{seconds:.1f} s, {peak:.0f} MB", "", "", target)
            assert text.count("\n") > 1000
            peaks[count] = peak
    growth = peaks[COUNTS[1]] - peaks[COUNTS[0]]
    what = f"memory of ddbench {command}, {COUNTS[1]:,} minus {COUNTS[0]:,} records"
    show(what, f"{growth:.0f} MB", "", "", f"< {GROWTH} MB")
    assert growth < GROWTH


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
