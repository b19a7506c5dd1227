"""The examples of docs/scale.md work."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

PAGE = (ROOT / "docs/scale.md").read_text()


def blocks(language):
    """Return the blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_plans_are_counted(ddbench, tmp_path):
    counts = (
        "30 runs, 0 of them finished, 30 to make",
        "1 run, 0 of them finished, 1 to make, 4 of 4 shards to make",
    )
    for text, count in zip(blocks("toml"), counts, strict=True):
        (tmp_path / "plan.toml").write_text(text)
        done = ddbench("sweep", "plan.toml", "--dry-run")
        assert done.returncode == 0, done.stderr
        assert count in done.stderr


def test_the_slurm_script_is_sound(tmp_path):
    program = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin"
    )
    if not program:
        pytest.skip("shellcheck is not installed")
    (script,) = blocks("bash")
    (tmp_path / "sweep.sh").write_text(script)
    command = [program, "--exclude=SC1091", tmp_path / "sweep.sh"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
