"""A release: the wheel, installed outside of the checkout, does the whole job."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from project import ROOT


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory):
    """An environment with the wheel, in which the test environment stands for an index with the dependencies; runs commands in an empty folder."""
    folder = tmp_path_factory.mktemp("release")
    shutil.copytree(
        ROOT,
        folder / "source",
        ignore=shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "tests"),
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [
            *pip,
            "wheel",
            "-q",
            "--no-index",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            folder,
            folder / "source",
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    subprocess.run(
        [*pip, "--python", python, "install", "-q", "--no-index", "--no-deps", wheel],
        check=True,
        capture_output=True,
    )
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "work").mkdir()

    def run(program, *arguments):
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [environment / "bin" / program, *arguments],
            cwd=folder / "work",
            env=variables,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_wheel_brings_everything(installed_wheel):
    code = """
import json, benchmark_adapters, gdd_plugin, leaderboard
from importlib.metadata import distribution
from pathlib import Path
from benchmark_adapters import datasets
images, _ = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
licence = [file for file in distribution("ddbench").files if file.match("licenses/LICENSE")]
folders = [str(Path(one.__file__).parent.parent) for one in (benchmark_adapters, gdd_plugin, leaderboard)]
print(json.dumps([folders, len(images), len(datasets.TINY_IMAGENET.class_names), len(licence)]))
"""
    folders, images, names, licences = json.loads(installed_wheel("python", "-P", "-c", code))
    assert all(Path(folder).parts[-4] == "environment" for folder in folders)
    assert (images, names, licences) == (10_000, 200, 1)


def test_its_commands_sample_and_show(installed_wheel):
    assert installed_wheel("ddbench", "--version").startswith("ddbench, version ")
    assert "Usage: ddbench-turbo" in installed_wheel("ddbench-turbo", "--help")
    record = json.loads(
        installed_wheel(
            "ddbench",
            "run",
            "--method",
            "generative-turbo",
            "--ipc",
            "2",
            "--repeats",
            "0",
            "--json",
        )
    )
    assert (record["status"], record["model"], record["ipc"]) == ("ok", "turbo-mini", 2)
    assert record["run_id"] in installed_wheel("ddbench", "leaderboard")
    page = Path(
        installed_wheel("ddbench", "leaderboard", "--format", "html", "--output", "board").strip()
    )
    assert page.name == "index.html"
