"""Without room for a temporary file, people learn what to do."""

import subprocess
import sys

FOLDERS = """
import resource
from leaderboard.records.folders import Folders

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with Folders() as folders:
    folders.add(f"runs/{number}" for number in range(100_000))
"""


def test_a_full_disk_is_named_with_what_to_do():
    done = subprocess.run([sys.executable, "-c", FOLDERS], capture_output=True, text=True)
    assert done.returncode == 1
    assert "set TMPDIR to a folder with more room: 'temporary file'" in done.stderr
