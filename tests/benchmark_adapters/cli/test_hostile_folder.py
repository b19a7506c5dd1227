"""Commands that run inside a folder of files from strangers, which Python would like to import."""

import os
import shutil
import subprocess
import sys

import pytest
from commands import run_installed
from installing import install_method
from made_records import record, save
from sample_sets import random_set
from small_runs import only

from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.formats import imagefolder

# Modules that Python imports by itself, before any code of the command runs.
FIRST = "sitecustomize usercustomize"
# Modules that scripts and installed packages may import before that, too.
STANDARD = "collections contextlib functools inspect pathlib re subprocess typing warnings"
PACKAGES = "benchmark_adapters ddbench gdd_plugin leaderboard"
OTHERS = """
    accelerate click datasets diffusers jinja2 json matplotlib msgspec numba numpy peft PIL
    platformdirs pluggy psutil pyarrow safetensors scipy sklearn tabulate tokenizers torch
    torchvision tqdm transformers triton
    csv dataclasses hashlib multiprocessing pickle shutil tempfile tomllib uuid zipfile
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder in which the import of any file leaves the file ``executed``."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    mark = f"open({str(tmp_path / 'executed')!r}, 'a').write(__name__ + '\\n')\n"
    for name in f"{FIRST} {STANDARD} {PACKAGES} {OTHERS}".split():
        (folder / f"{name}.py").write_text(mark)
    install_method(folder, "stranger", mark)
    # Text set by TeX would run a program of the stranger's choice.
    (folder / "matplotlibrc").write_text("text.usetex: True\nno.such.key: 1\n")
    return folder


def remove(folder, names):
    """Remove modules from the folder."""
    for name in names.split():
        (folder / f"{name}.py").unlink()


@pytest.fixture
def here(folder, tmp_path, example_folder):
    """Return a function that runs ``ddbench`` in the folder and asserts that nothing there ran."""

    def run(*arguments, codes=(0,), **variables):
        done = run_installed(arguments, folder, [example_folder], variables)
        assert done.returncode in codes, (arguments, done.stdout, done.stderr)
        executed = tmp_path / "executed"
        assert not executed.exists(), (arguments, executed.read_text())
        assert "matplotlibrc" not in done.stderr
        return done

    return run


def test_files_in_the_current_folder_are_not_imported(here, folder, tmp_path):
    listed = here("list", "methods").stdout
    assert "random-real" in listed
    assert "stranger" not in listed
    imagefolder.write({"cifar10": (CIFAR10, random_set(CIFAR10))}, folder / "team")
    assert "10 images of cifar10" in here("check", "team", "--dataset", "cifar10").stdout
    for ipc in (1, 10):
        save(tmp_path / "runs", record(run_id=f"run-{ipc}", ipc=ipc, comparable=False))
    here("leaderboard", "--runs", tmp_path / "runs", "--format", "html", "--output", "pages")
    assert "<svg" in (folder / "pages" / "index.html").read_text()


@pytest.mark.parametrize("path", ["", ":", ".", "./:{example}", "{example}:"])
def test_relative_entries_of_pythonpath_do_not_count(here, folder, example_folder, path):
    # What Python finds of these runs before the command can do anything.
    remove(folder, f"{FIRST} {STANDARD} {PACKAGES}")
    path = path.format(example=example_folder)
    listed = here("list", "methods", PYTHONPATH=path).stdout
    assert "stranger" not in listed
    assert ("good" in listed.split()) == (str(example_folder) in path)


@pytest.mark.parametrize("module", ["ddbench", "benchmark_adapters.cli"])
@pytest.mark.parametrize("flags", [[], ["-P"], ["-W", "ignore"]])
def test_module_as_a_command_imports_nothing_from_the_current_folder(
    folder, tmp_path, module, flags
):
    command = [sys.executable, *flags, "-m", module]
    if "-P" not in flags:
        # Python imports what it is asked to run.
        remove(folder, f"{STANDARD} {PACKAGES}")
    done = subprocess.run([*command, "list"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "random-real" in done.stdout
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()


def test_program_that_uses_ddbench_is_not_restarted(folder, tmp_path):
    remove(folder, f"{FIRST} {STANDARD} {PACKAGES} {OTHERS}")
    (folder / "own.py").write_text("number = 3\n")
    code = "import ddbench, own\nprint(own.number)"
    (folder / "program.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ":"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_folder_of_a_method_file_is_no_place_for_other_imports(ddbench, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "beside.py").write_text("level = 3\n")
    (folder / "mine.py").write_text(
        "import beside\ndef distill(task, budget):\n    raise ValueError(beside.level)\n"
    )
    before = list(sys.path)
    done = ddbench("list", "options", folder / "mine.py")
    assert done.returncode == 0, done.stderr
    assert sys.path == before


@pytest.mark.slow
def test_no_command_imports_a_file_of_the_current_folder(
    here, folder, real_runs, submission, tmp_path
):
    run = only(real_runs, "few")
    runs, own = ("--runs", real_runs), ("--runs", tmp_path / "own")
    track, cpu = ("--track", "few"), ("--device", "cpu")
    teams = tmp_path / "teams"
    shutil.copytree(submission, teams / "one")
    shutil.copytree(submission, folder / "team")
    for arguments in (
        ["--help"],
        ["list"],
        ["list", "options", "good"],
        ["runs", *runs],
        ["show", run],
        ["leaderboard", *runs],
        ["compare", run, run, "--output", "comparison"],
        ["robustness", run, "--random", run, "--whole", "0.9", "--source", "a paper"],
        ["export", run, "--format", "eccv2024", "--truth", "--output", "challenge"],
        ["export", run, "--format", "imagefolder", "--output", "pictures"],
        ["check", "team", "--dataset", "few", *track],
        ["check", "pictures", "--dataset", "few"],
        ["score", "team", *track, "--name", "team", *own, *cpu],
        ["score", teams, *track, *own, *cpu, "--backend", "fast"],
        ["rerun", run, *own, *cpu],
        ["run", "--method", "good", *track, *own, *cpu],
        ["run", "--method", "good", *track, "--plan", *own, *cpu],
        ["sweep", "--method", "good", "--seed", "1..2", "--workers", "2", *track, *own, *cpu],
        ["score", teams, *track, *own, *cpu, "--engine", "local"],
        ["rm", "--unfinished", *own],
        ["check-plugin", "good", *track, *cpu],
        ["data"],
        ["doctor"],
    ):
        here(*arguments, codes=(0, 1))
    # Nothing is left to go on with, and a run is no part of a set.
    here("resume", *own, codes=(2,))
    here("merge", run, run, *own, codes=(2,))
