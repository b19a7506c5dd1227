"""The guard on scores and images."""

import json
import subprocess
import sys

import pytest
from project import ROOT

GUARD = (sys.executable, ROOT / "tests" / "guard.py")


@pytest.mark.slow
def test_scores_and_images_are_those_of_the_last_commit(tmp_path):
    """The working tree against HEAD; in a clean one, that the same code gives the same numbers twice."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: there is no commit to compare with")
    done = subprocess.run(
        [*GUARD, tmp_path / "after.json", "--against", "HEAD"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "after.json").read_text())
    assert all(found.values())
    assert len(set(map(str, found.values()))) > 40  # else it would compare nothing
