"""`ddbench doctor`: the state of this machine, with a cache of the Hub that the tests fill."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hub_cache import put_into_cache

from benchmark_adapters.cli.main import commands
from benchmark_adapters.execution import cgroup
from gdd_plugin import doctor
from gdd_plugin.models.registry import KNOWN


def run(*arguments):
    done = CliRunner().invoke(commands, ["doctor", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done


def findings(*arguments):
    return {found["name"]: found for found in json.loads(run("--json", *arguments).stdout)}


def test_incomplete_models_come_with_the_command_that_downloads_them(hub_cache, random_turbo):
    before = findings()
    assert before["model turbo-mini"]["status"] == "ok"
    assert before["model sdxl-turbo"]["status"] == "missing"
    assert before["model sdxl-turbo"]["advice"].startswith("hf download stabilityai/sdxl-turbo --")
    assert "&& hf download tianweiy/DMD2 dmd2_sdxl" in before["model dmd2"]["advice"]
    put_into_cache(hub_cache, KNOWN["sdxl-turbo"].pipeline, random_turbo)
    after = findings()["model sdxl-turbo"]
    assert (after["status"], after["advice"]) == ("ok", "")
    assert "licence: non-commercial" in after["text"]


def test_hub_that_is_out_of_reach_is_named(hub_cache):
    hub = findings()["hub"]
    assert hub["status"] == "missing"
    assert "--option model=DIR" in hub["advice"]


def test_datasets_are_looked_for_where_runs_look(hub_cache, few, tmp_path):
    found = findings("--data", few)["dataset fashion-mnist"]
    # The folder has a test split that is not complete.
    assert found["status"] == "missing"
    assert "a part is bundled" in found["text"]
    missing = findings("--data", tmp_path)["dataset cifar100"]
    assert "ddbench data cifar100 --download" in missing["text"]


def test_everything_is_one_line(hub_cache):
    done = run()
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "missing", "problem"}
    assert len(lines) == len(json.loads(run("--json").stdout))
    assert done.exit_code == 0


def test_gpu_that_pytorch_cannot_use_is_a_problem(hub_cache, monkeypatch):
    """The driver is faked: this machine has none."""
    which = doctor.shutil.which
    monkeypatch.setattr(
        doctor.shutil, "which", lambda name: "/bin/smi" if name == "nvidia-smi" else which(name)
    )
    device = findings()["device"]
    assert device["status"] == "problem"
    assert "install a PyTorch with CUDA" in device["advice"]
    assert run().exit_code == 1


@pytest.mark.parametrize(("gib", "status"), [(2, "problem"), (16, "ok")])
def test_too_little_memory_is_a_problem(monkeypatch, gib, status):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=gib * 2**30))
    (memory,) = doctor._memory()
    assert memory.status == status


def test_missing_compiler_is_advised(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setenv("CXX", "my-compiler")
    (compiler,) = doctor._compiler()
    assert "install my-compiler" in compiler.advice


def test_without_a_control_group_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(cgroup, "place", lambda: Path("/groups/user"))
    (found,) = doctor._control_group()
    assert (found.status, found.text) == ("ok", "methods run in one, in /groups/user")

    def fail():
        raise cgroup.NoGroup("no cgroup v2 is mounted")

    monkeypatch.setattr(cgroup, "place", fail)
    (found,) = doctor._control_group()
    assert (found.status, found.text) == ("missing", "no cgroup v2 is mounted")
    assert "a method can exceed its bounds for a moment" in found.advice


def test_part_that_fails_does_not_hide_the_others(hub_cache, monkeypatch):
    def fail(name):
        raise OSError("libcuda.so: no such file")

    monkeypatch.setattr("benchmark_adapters.execution.devices.resolve", fail)
    found = findings()
    assert found["device"]["status"] == "problem"
    assert "libcuda.so" in found["device"]["text"]
    assert found["model turbo-mini"]["status"] == "ok"
