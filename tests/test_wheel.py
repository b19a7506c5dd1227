"""The wheel works when it is installed outside the checkout."""

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

# Everything that the build of a wheel needs.
PACKAGES = ("benchmark_adapters", "ddbench", "gdd_plugin", "leaderboard")
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory):
    """Return a function that runs commands of the installed wheel in an empty folder.

    The dependencies come from the test environment instead of a package index.
    """
    folder = tmp_path_factory.mktemp("release")
    source = folder / "source"
    for package in PACKAGES:
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=without)
    for file in FILES:
        shutil.copy(ROOT / file, source)
    pip("wheel", "--no-build-isolation", "-w", folder, source)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    pip("install", wheel, python=environment / "bin" / "python")
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


def pip(command, *arguments, python=sys.executable):
    """Run pip for the environment of ``python``, without network access."""
    start = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    options = ["-q", "--no-index", "--no-deps"]
    subprocess.run([*start, command, *options, *arguments], check=True, capture_output=True)


def test_wheel_contains_packages_data_and_licence(installed_wheel):
    code = """
import json
import benchmark_adapters, ddbench, gdd_plugin, leaderboard
from importlib.metadata import distribution
from pathlib import Path
from benchmark_adapters import datasets
images, _ = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
licence = [file for file in distribution("ddbench").files if file.match("licenses/LICENSE")]
packages = benchmark_adapters, ddbench, gdd_plugin, leaderboard
folders = [str(Path(package.__file__).parent.parent) for package in packages]
print(json.dumps([folders, len(images), len(datasets.TINY_IMAGENET.class_names), len(licence)]))
"""
    folders, images, names, licences = json.loads(installed_wheel("python", "-P", "-c", code))
    assert all(Path(folder).parts[-4] == "environment" for folder in folders)
    assert (images, names, licences) == (10_000, 200, 1)


def test_commands_of_the_wheel_run_and_show_results(installed_wheel):
    assert installed_wheel("ddbench", "--version").startswith("ddbench, version ")
    assert "Usage: ddbench-turbo" in installed_wheel("ddbench-turbo", "--help")
    command = ("run", "--method", "generative-turbo", "--ipc", "2", "--repeats", "0", "--json")
    record = json.loads(installed_wheel("ddbench", *command, "--option", "preset=sampled"))
    assert (record["status"], record["model"], record["ipc"]) == ("ok", "turbo-mini", 2)
    assert record["run_id"] in installed_wheel("ddbench", "leaderboard")
    command = ("leaderboard", "--format", "html", "--output", "board")
    page = Path(installed_wheel("ddbench", *command).strip())
    assert page.name == "index.html"
