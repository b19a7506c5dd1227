"""Run code on a disk of its own, which is small enough to fill up."""

import os
import subprocess
import sys

import pytest
from project import TESTS

MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'


def run_on_small_disk(size: str, folder, code: str, *arguments, path=()) -> str:
    """Return what ``code`` prints; a disk of that ``size`` is in ``folder`` while it runs.

    Skips the test where the system does not let it mount one. ``path`` lists folders with plugins.
    """
    folder.mkdir()
    enter = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", size, folder]
    try:
        subprocess.run([*enter, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not let a test mount a small disk")
    places = [TESTS / "support", *path]
    done = subprocess.run(
        [*enter, sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
