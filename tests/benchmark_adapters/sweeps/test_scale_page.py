"""The examples of docs/scale.md work."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

PAGE = (ROOT / "docs/scale.md").read_text()


def block(language):
    """Return the only block of a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return text


def test_the_plan_is_counted(ddbench, tmp_path):
    (tmp_path / "plan.toml").write_text(block("toml"))
    done = ddbench("sweep", "plan.toml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "30 runs, 0 of them finished, 30 to make" in done.stderr


def test_the_slurm_script_is_sound(tmp_path):
    program = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin"
    )
    if not program:
        pytest.skip("shellcheck is not installed")
    (tmp_path / "sweep.sh").write_text(block("bash"))
    command = [program, "--exclude=SC1091", tmp_path / "sweep.sh"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
