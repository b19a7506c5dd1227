"""Fixtures for all tests: commands, the example plugin, child processes and the clock."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

# Test processes that run at the same time share the cores. Torch reads this on import.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
# A shell lets what it starts in the background ignore Ctrl-C, which the tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import in_process
from clock import Clock
from commands import Ddbench, call, run_installed
from project import COMMAND, TESTS, installed, pip_install

from benchmark_adapters import cli
from benchmark_adapters.execution import discovery, sandbox, supervisor

REAL_SANDBOX = sandbox.run


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Return a folder that all test processes share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def _cache(shared):
    """Leave the user's cache alone, but share a cache between tests, as between a user's runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _plugins_described_once():
    """Import each third-party plugin in a process of its own once, and not for each command."""
    known, describe = {}, discovery.describe

    def remembered(entries):
        key = tuple((one.group, one.value, one.dist.locate_file("")) for one in entries)
        if key not in known:
            known[key] = describe(entries)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery, "describe", remembered)
        yield


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory):
    """Return a folder into which pip installed ``ddbench-example`` from tests/example_plugin."""
    source = shutil.copytree(TESTS / "example_plugin", tmp_path_factory.mktemp("source") / "plugin")
    target = tmp_path_factory.mktemp("site")
    pip_install(source, target)
    return target


@pytest.fixture
def example_plugins(example_folder):
    """Yield the installed plugins, including ``ddbench-example``."""
    with installed(example_folder):
        yield discovery.installed()


@pytest.fixture
def ddbench(tmp_path, capfd) -> Ddbench:
    """Return a function that calls ``ddbench`` in an empty folder.

    For example ``ddbench("run", ..., VARIABLE="value")``. ``path`` lists folders with plugins. The
    command runs in this process, since importing torch takes longer than most commands. `shell` is
    the installed command.
    """

    def run(
        *arguments: object, path: list[Path] | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        with installed(*path or []), pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in variables.items():
                patch.setenv(name, value)
            return call(cli.main, ["ddbench", *map(str, arguments)], capfd)

    return run


@pytest.fixture
def ddbench_turbo(capfd) -> Ddbench:
    """Return a function that calls ``ddbench-turbo`` in this process."""
    from gdd_plugin.training import cli

    return lambda *arguments: call(cli.main, ["ddbench-turbo", *map(str, arguments)], capfd)


@pytest.fixture
def shell(tmp_path) -> Ddbench:
    """Return a function like `ddbench` that runs the installed command in a child process."""

    def run(
        *arguments: object, path: list[Path] | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return run_installed(arguments, tmp_path, path or [], variables)

    return run


@pytest.fixture
def started(example_folder, tmp_path):
    """Return a function that starts ``ddbench`` with the example plugin and does not wait for it.

    The command runs in an empty folder and is killed after the test.
    """
    processes = []

    def start(*arguments: str, program: str | Path = COMMAND) -> subprocess.Popen[str]:
        variables = {"PYTHONPATH": str(example_folder), "ASLEEP": str(tmp_path / "asleep")}
        process = subprocess.Popen(
            [program, *arguments],
            cwd=tmp_path,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session", autouse=True)
def _sandbox_in_process():
    """Decode files and train students in this process instead of child processes with limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "run", in_process.run)
        yield


@pytest.fixture
def real_sandbox(monkeypatch):
    """Decode files and train students in real child processes with limits."""
    monkeypatch.setattr(sandbox, "run", REAL_SANDBOX)


@pytest.fixture
def methods_here(monkeypatch):
    """Run methods in this process, without a limit, since their real processes import diffusers."""
    monkeypatch.setattr(supervisor, "supervise", in_process.supervise)


@pytest.fixture
def untrained_probe(monkeypatch):
    """Train the class-order classifier for 5 steps only; checks/test_class_order.py trains it."""
    monkeypatch.setattr("benchmark_adapters.checks.class_order.MAX_STEPS", 5)


@pytest.fixture
def clock(monkeypatch):
    """Return the clock that decides when a method has reached its limit."""
    return Clock(monkeypatch)


@pytest.fixture(scope="module")
def one_thread():
    """Use one thread, since more threads round sums differently and training magnifies that."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
