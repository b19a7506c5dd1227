"""The guard script, which compares scores and images."""

import json
import subprocess
import sys

import pytest
from project import ROOT

GUARD = (sys.executable, ROOT / "tests" / "guard.py")


@pytest.mark.slow
def test_scores_and_images_equal_those_of_the_last_commit(tmp_path):
    """In a clean working tree, this tests that the same code gives the same numbers twice."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no commit to compare with")
    command = [*GUARD, tmp_path / "after.json", "--against", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "after.json").read_text())
    assert all(results.values())
    # With too few distinct results, the comparison would mean little.
    assert len(set(map(str, results.values()))) > 40
