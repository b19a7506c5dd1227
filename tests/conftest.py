"""Fixtures of all tests: the command line, a third-party distribution, real runs, a clock."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from project import COMMAND, TESTS, installed, pip_install

# Processes that run tests at the same time share the cores; torch reads this when it is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

import in_process
from clock import Clock

from benchmark_adapters import cli, plugins
from benchmark_adapters.execution import sandbox, supervisor
from benchmark_adapters.runs import pipeline
from benchmark_adapters.runs.request import Request, plan_runs
from leaderboard.records import store

REAL_SANDBOX = sandbox.run
Ddbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all test processes share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def _cache(shared):
    """The user's own cache stays as it is, and what one test trained serves the next, as for a user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        yield


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory):
    """``ddbench-example``, the distribution in tests/example_plugin, installed by pip into a folder of its own."""
    source = shutil.copytree(TESTS / "example_plugin", tmp_path_factory.mktemp("source") / "plugin")
    target = tmp_path_factory.mktemp("site")
    pip_install(source, target)
    return target


@pytest.fixture
def example_plugins(example_folder):
    """A host with the plug-ins of ``ddbench-example``."""
    with installed(example_folder):
        yield plugins.build()


@pytest.fixture
def ddbench(tmp_path, capfd) -> Ddbench:
    """Runs the command line in an empty folder: ``ddbench("run", ..., path=[folder with plug-ins], VARIABLE="value")``.

    It runs in this process, since importing torch takes longer than what most commands do; `shell` is the installed command.
    """

    def run(
        *arguments: object, path: list[Path] | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        with installed(*path or []), pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in variables.items():
                patch.setenv(name, value)
            return _call(cli.main, ["ddbench", *map(str, arguments)], capfd)

    return run


@pytest.fixture
def ddbench_turbo(capfd) -> Ddbench:
    """Runs the command line ``ddbench-turbo`` in this process."""
    from gdd_plugin.training import cli

    return lambda *arguments: _call(cli.main, ["ddbench-turbo", *map(str, arguments)], capfd)


def _call(
    main: Callable[[], object], words: list[str], capfd: pytest.CaptureFixture[str]
) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch, _signals_kept():
        patch.setattr(sys, "argv", words)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
    return subprocess.CompletedProcess(words, int(ended.value.code or 0), *capfd.readouterr())


@contextlib.contextmanager
def _signals_kept():
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def _sandbox_in_process():
    """Files are decoded, and students trained, in the tests' own process, without limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "run", in_process.run)
        yield


@pytest.fixture
def real_sandbox(monkeypatch):
    """Files are decoded, and students trained, in real child processes with limits."""
    monkeypatch.setattr(sandbox, "run", REAL_SANDBOX)


@pytest.fixture
def untrained_probe(monkeypatch):
    """The class-order probe is hardly trained; where it matters, see checks/test_class_order."""
    monkeypatch.setattr("benchmark_adapters.checks.class_order.MAX_STEPS", 5)


@pytest.fixture
def methods_here(monkeypatch):
    """Methods work in this process, without a limit.

    runs/test_pipeline.py and cli/test_run.py have their real processes, which import diffusers.
    """
    monkeypatch.setattr(supervisor, "supervise", in_process.supervise)


@pytest.fixture
def shell(tmp_path) -> Ddbench:
    """The installed command in a process of its own, otherwise as `ddbench`."""

    def run(
        *arguments: object, path: list[Path] | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, path or [])),
            **variables,
        }
        return subprocess.run(
            [COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


@pytest.fixture
def started(example_folder, tmp_path):
    """Starts the installed command, with the plug-ins of ``ddbench-example``, in an empty folder, and kills it after the test."""
    processes = []

    def start(*arguments: str, program: str | Path = COMMAND) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(example_folder),
            "ASLEEP": str(tmp_path / "asleep"),
        }
        process = subprocess.Popen(
            [program, *arguments],
            cwd=tmp_path,
            env=environment,
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


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture(scope="session")
def random_turbo(tmp_path_factory):
    """A random model in the layout of SDXL-Turbo's folder, as ``save_pretrained`` writes it."""
    import torch

    from gdd_plugin.models import turbo_mini

    torch.manual_seed(0)
    target = tmp_path_factory.mktemp("models") / "random-turbo"
    turbo_mini.pipeline(["a photo of a cat", "dog"]).save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def one_thread():
    """Sums of several threads round differently from run to run, and training magnifies that."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clothes():
    """Fashion-MNIST's bundled training images, float32 [1000, 1, 28, 28], normalised, and their labels."""
    import torch

    from benchmark_adapters import datasets
    from benchmark_adapters.scoring import training

    images, labels = datasets.load(datasets.FASHION_MNIST, "train", bundled=True)
    return training.normalise(images, datasets.FASHION_MNIST), torch.from_numpy(labels)


@pytest.fixture(scope="session")
def few(tmp_path_factory):
    """A folder of 1,000 real images: Fashion-MNIST's bundled test split stands for the training split."""
    import struct

    import numpy as np

    from benchmark_adapters import datasets

    folder = tmp_path_factory.mktemp("few")
    images, labels = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
    for name, array in (("images-idx3", images[:1000, 0]), ("labels-idx1", labels[:1000])):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"train-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    (folder / "t10k-images-idx3-ubyte").touch()
    return folder


@pytest.fixture(scope="session")
def made(few, shared):
    """A model that the whole training made in small."""
    import torch
    from small_training import train_small

    from gdd_plugin.training import loop

    folder = shared / "made"
    with FileLock(shared / "made.lock"), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            patch.setattr(loop, "LOG_EVERY", 1)
            train_small(folder, few, save_every=2)
            torch.set_num_threads(threads)
    return folder


# Runs of real images on the tracks of ``ddbench-example``, and their images as a submission


@pytest.fixture(scope="session")
def real_runs(example_folder, tmp_path_factory):
    """The folder that keeps runs of random-real on the tracks ``few`` and ``pair``."""
    runs = tmp_path_factory.mktemp("real") / "runs"
    with installed(example_folder):
        for track in ("few", "pair"):
            request = Request("random-real", track=track, runs=runs, device="cpu")
            for plan in plan_runs(request, plugins.build()):
                pipeline.run(plan)
    return runs


@pytest.fixture(scope="session")
def exported(example_folder, real_runs, tmp_path_factory):
    """The images of the run on ``few`` as a challenge's submission."""
    folder = tmp_path_factory.mktemp("submission") / "team"
    (run,) = (run for run in store.runs_in([real_runs]) if run.parts[-4] == "few")
    subprocess.run(
        [COMMAND, "export", run, "--format", "eccv2024", "--output", folder],
        check=True,
        env={**os.environ, "PYTHONPATH": str(example_folder)},
    )
    return folder


@pytest.fixture
def submission(exported, tmp_path):
    """A copy of it, to be broken."""
    return shutil.copytree(exported, tmp_path / "team")
