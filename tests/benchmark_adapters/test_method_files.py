"""Methods from a Python file."""

import json
import re
from pathlib import Path

import pytest

from benchmark_adapters import method_files, plugins
from benchmark_adapters.types import UserError
from leaderboard.records import store
from leaderboard.render import report

ROOT = Path(__file__).parents[2]
NOISE = '''"""Noise."""

import numpy as np

from benchmark_adapters.types import Option

OPTIONS = [Option("bits", int, 8, "bits of noise")]


def distill(task, budget):
    """Fill the set with noise.

    It teaches nothing.
    """
    task.report(memory=task.memory)
    data, rng = task.dataset, np.random.default_rng(task.seed)
    size = (data.num_classes, data.channels, data.image_size, data.image_size)
    for _ in range(task.ipc):
        yield rng.integers(2 ** task.options["bits"], size=size, dtype="uint8"), np.arange(10)


def black(task, budget):
    for images, labels in distill(task, budget):
        yield 0 * images, labels


not_a_function = 3
'''


@pytest.fixture
def noise(tmp_path):
    (tmp_path / "noise.py").write_text(NOISE)
    return tmp_path / "noise.py"


def test_file_is_run_in_processes_of_its_own(shell, noise):
    command = ("run", "--method", "noise.py", "--ipc", "2", "--repeats", "0", "--json")
    done = shell(*command, "--option", "bits=1", "--device", "cpu", "--memory-limit", "3")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["method"], record["ipc"]) == ("noise", 2)
    assert record["options"] == {"bits": 1}
    assert record["metadata"]["memory"] == 3 * 2**30
    assert record["metadata"]["method_file"] == "noise.py"
    assert len(record["metadata"]["method_sha256"]) == 64
    # The record says nothing of where the file is.
    assert str(noise.parent) not in done.stdout


def test_facts_of_any_kind_end_no_run(ddbench, methods_here, tmp_path):
    method = """import numpy as np
def distill(task, budget):
    task.ready(model="zeros", batch=np.int64(10))
    task.report(loss=np.float32("nan"), rate=np.float64(0.5), warning="all black")
    yield np.zeros((10, 1, 28, 28), "uint8"), np.arange(10)
"""
    (tmp_path / "zeros.py").write_text(method)
    done = ddbench("run", "--method", "zeros.py", "--ipc", "1", "--repeats", "0", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["batch"], record["metadata"]["rate"]) == (10, 0.5)
    lost = "the method reported a value of 'loss' that is left out: nan, not a finite number"
    assert record["metadata"]["warnings"] == [lost, "all black"]
    assert f"warning: {lost}\nwarning: all black\n" in done.stderr


def test_function_of_a_file_is_chosen_by_name(ddbench, noise):
    command = ("run", "--ipc", "2", "--repeats", "0", "--json", "--device", "cpu")
    done = ddbench(*command, "--method", "noise.py:black")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"] == "black"


def test_output_of_a_file_stays_out_of_the_results(ddbench, noise):
    noise.write_text("import os\nprint('hello')\nos.write(1, b'low-level')\n" + NOISE)
    done = ddbench("list", "options", "noise.py", "--json")
    assert list(json.loads(done.stdout)["options"]) == ["bits"]
    assert "hello" in done.stderr
    assert "low-level" in done.stderr


def test_options_of_a_file_are_listed(ddbench, noise):
    done = ddbench("list", "options", "noise.py")
    assert done.returncode == 0, done.stderr
    assert "bits" in done.stdout
    assert "bits of noise (default: 8)" in done.stdout


def test_file_is_checked_like_a_plugin(ddbench, noise):
    done = ddbench("check-plugin", "noise.py", "--device", "cpu", "--json")
    checks = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert (checks["plugin"], checks["batches"], checks["same seed"]) == ("skipped", "ok", "ok")


def test_summary_is_the_first_line_of_the_function(noise):
    method = method_files.find(plugins.build(), str(noise))
    assert (method.name, method.summary) == ("noise", "Fill the set with noise.")
    assert method.file == str(noise)
    assert method_files.reference(method) == f"{noise}:noise"
    again = method_files.find(plugins.build(), method_files.reference(method))
    assert (again.name, again.file) == (method.name, method.file)


def test_file_may_import_its_neighbours_later_and_define_dataclasses(shell, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "helper.py").write_text("import numpy\nbatch = numpy.arange(10)\n")
    (folder / "mine.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Settings:\n"
        "    level: int = 3\n"
        "def distill(task, budget):\n"
        "    from helper import batch\n"
        "    import numpy\n"
        "    images = numpy.full((10, 1, 28, 28), Settings().level, 'uint8')\n"
        "    yield images, batch\n"
    )
    command = ("run", "--method", "elsewhere/mine.py", "--ipc", "1", "--repeats", "0", "--json")
    done = shell(*command, "--device", "cpu")
    assert done.returncode == 0, done.stderr


def test_what_needs_an_installed_method_says_so(ddbench, noise, tmp_path):
    command = ("run", "--method", "noise.py", "--ipc", "1", "--repeats", "0", "--device", "cpu")
    noise.write_text(NOISE + "\nDIVISIBLE = True\n")
    done = ddbench(*command, "--shard", "0/2")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--shard needs an installed method" in done.stderr
    record = json.loads(ddbench(*command, "--json").stdout)
    done = ddbench("rerun", record["run_id"])
    assert done.returncode == 2
    assert "came from the file noise.py" in done.stderr
    (folder,) = store.runs_in([tmp_path / "runs"])
    assert "--method noise.py:noise" in report.command(store.read(folder))


def test_hook_of_a_file_may_return_several_methods(tmp_path):
    file = tmp_path / "two.py"
    file.write_text(
        "from benchmark_adapters.types import Method\n"
        "def ddbench_methods():\n"
        "    return [Method(name, print) for name in ('one', 'other')]\n"
    )
    with pytest.raises(UserError, match=r"these methods: one, other; choose one with two.py:NAME"):
        method_files.find(plugins.build(), str(file))
    assert method_files.find(plugins.build(), f"{file}:other").name == "other"


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (None, "mine.py", "no file .*mine.py; name an installed method or a Python file"),
        ("", "mine.py", r"mine.py has no function distill\(task, budget\); define it, or the hook"),
        (NOISE, "mine.py:missing", r"has no function missing\(task, budget\)"),
        (NOISE, "mine.py:not_a_function", r"has no function not_a_function\(task, budget\)"),
        ("import nothing_here", "mine.py", "mine.py can't be used: ModuleNotFoundError: "),
        ("def distill(: pass", "mine.py", "mine.py can't be used: SyntaxError: "),
        ("raise SystemExit", "mine.py", "mine.py can't be used: SystemExit"),
        ("def ddbench_methods(): return []", "mine.py", "has these methods: none"),
        ("def ddbench_methods(): return [3]", "mine.py", "it returned int, expected Method"),
        (f"{NOISE}OPTIONS = ['bits']", "mine.py", "options of method mine must be of type Option"),
        (NOISE, "random-real.py", "random-real is the name of an installed method; rename it"),
        (NOISE, "my method.py", "invalid name 'my method'"),
    ],
)
def test_wrong_file_is_one_clear_line(tmp_path, text, name, problem):
    if text is not None:
        (tmp_path / name.partition(":")[0]).write_text(text)
    with pytest.raises(UserError, match=problem) as caught:
        method_files.find(plugins.build(), str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_names_of_installed_methods_are_found_as_before():
    assert method_files.find(plugins.build(), "random-real").file == ""
    with pytest.raises(UserError, match="did you mean random-real"):
        method_files.find(plugins.build(), "random-rael")


def test_smallest_method_of_the_guide_runs_as_a_file(ddbench, tmp_path):
    guide = (ROOT / "docs" / "extending" / "method.md").read_text()
    (code,) = re.findall(r"```python\n# noise\.py\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "noise.py").write_text(code)
    done = ddbench("run", "--method", "noise.py", "--ipc", "1", "--repeats", "0", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"] == "noise"
