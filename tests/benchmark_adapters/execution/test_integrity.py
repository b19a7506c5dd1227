"""Changes of the code that scores a set, on a copy of it in a process of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import benchmark_adapters

PACKAGES = Path(benchmark_adapters.__file__).parents[1]
SCRIPT = """
import sys
from pathlib import Path
from benchmark_adapters.execution import integrity
before = integrity.snapshot()
target = Path(sys.argv[1])
if sys.argv[2] == "remove":
    target.unlink()
else:
    target.write_text(sys.argv[2])
print(*(path.name for path in integrity.changed(before)))
print(target.exists())
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copy the packages, and put a plugin beside them."""
    tmp_path = tmp_path_factory.mktemp("copy")
    for name in ("benchmark_adapters", "leaderboard"):
        shutil.copytree(PACKAGES / name, tmp_path / name)
    (tmp_path / "plugin_of_one.py").write_text("")
    entry = "[ddbench]\nplugin = plugin_of_one\n"
    (tmp_path / "plugin-1.dist-info").mkdir()
    (tmp_path / "plugin-1.dist-info" / "METADATA").write_text("Name: plugin\nVersion: 1\n")
    (tmp_path / "plugin-1.dist-info" / "entry_points.txt").write_text(entry)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "content", "named", "remains"),
    [
        ("benchmark_adapters/scoring/training.py", "cheat()", "training.py", True),
        ("benchmark_adapters/datasets/extra.py", "cheat()", "extra.py", True),
        ("leaderboard/stats.py", "remove", "stats.py", False),
        ("plugin_of_one.py", "cheat()", "plugin_of_one.py", True),
        ("cheat.pth", "import cheat", "cheat.pth", True),
        ("benchmark_adapters/__pycache__/plugins.cpython-311.pyc", "junk", "", False),
        ("unrelated.py", "", "", True),
    ],
)
def test_changed_code_is_named_and_compiled_code_is_removed(copy, file, content, named, remains):
    (copy / file).parent.mkdir(exist_ok=True)
    command = [sys.executable, "-B", "-c", SCRIPT, copy / file, content]
    done = subprocess.run(
        command,
        env={"PYTHONPATH": str(copy), "PATH": ""},
        cwd=copy,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:2] == [named, str(remains)]
