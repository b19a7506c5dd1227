"""Shared parts: a third-party distribution that pip installed, the command line, and a clock that tests can put forward."""

import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock
from project import COMMAND, TESTS, installed, pip_install

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # processes that run tests beside each other share the cores; torch reads this when it is imported
    os.environ["OMP_NUM_THREADS"] = "1"

from benchmark_adapters import cli
from benchmark_adapters import plugins as host
from benchmark_adapters.execution import sandbox as custody
from benchmark_adapters.execution import supervisor, worker
from benchmark_adapters.runs import estimate as cost
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs import plugin_check as conformance
from benchmark_adapters.runs import request as plan
from leaderboard.records import store

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
def strange_folder(tmp_path_factory):
    """``ddbench-strange``, the distribution in tests/example_plugin, installed by pip into a folder of its own."""
    source, target = tmp_path_factory.mktemp("source") / "strange", tmp_path_factory.mktemp("site")
    source.mkdir()
    for file in (TESTS / "example_plugin").glob("*.*"):
        (source / file.name).write_text(file.read_text())
    pip_install(source, target)
    return target


@pytest.fixture
def strange(strange_folder):
    """A host with the plug-ins of ``ddbench-strange``."""
    with installed(strange_folder):
        yield host.build()


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


@pytest.fixture
def trusting(monkeypatch):
    """Untrusted files are read in this process, without limits: test_sandbox.py has the real process, which imports torch each time.

    The class-order probe is hardly trained; where it matters, that is test_inspection.py.
    """
    monkeypatch.setattr("benchmark_adapters.checks.class_order.MAX_STEPS", 5)

    def ask(module, job, seconds, memory):
        work = importlib.import_module(module).work
        return json.loads(json.dumps(work(json.loads(json.dumps(job)))))

    monkeypatch.setattr(custody, "ask", ask)


class Stopped(BaseException):
    """Stops a method; not an Exception, so that the worker doesn't report it as the method's error."""


@pytest.fixture
def methods_here(monkeypatch):
    """Methods work in this process, without a limit; test_harness.py and test_cli.py have their real processes, which import diffusers each time."""

    def supervise(jobs, limit, folder, on_round):
        (folder / "rounds").mkdir()
        outcomes, began = [], time.monotonic()
        for job in jobs:
            outcomes.append(supervisor.Outcome(parts=[[]]))

            def send(kind, outcome=outcomes[-1], **facts):
                event = json.loads(json.dumps({"kind": kind, **facts}, allow_nan=False))
                supervisor._note(event, outcome, time.monotonic() - began, folder / "rounds")
                try:
                    if kind == "round":
                        on_round(outcome)
                except supervisor.Enough:
                    outcome.end = "done"
                    raise Stopped from None

            with contextlib.suppress(Stopped):
                worker._execute(
                    {
                        **job.facts,
                        "rounds": str(folder / "rounds"),
                        "limit": limit,
                        "deadline": began + limit,
                    },
                    send,
                )
                send("end")
        return supervisor._together(outcomes, jobs[0].facts["ipc"] is None)

    for module in (conformance, cost, harness):
        monkeypatch.setattr(module, "supervise", supervise)


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
def started(strange_folder, tmp_path):
    """Starts the installed command, with the plug-ins of ``ddbench-strange``, in an empty folder, and kills it after the test."""
    processes = []

    def start(*arguments: str, program: str | Path = COMMAND) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(strange_folder),
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


class Clock:
    """The harness's clock, which tests put forward: a limit is reached at a known round on every machine, and nobody waits for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        self.go()
        self._listen = supervisor._listen
        monkeypatch.setattr(
            supervisor, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + self.ahead)
        )
        monkeypatch.setattr(supervisor, "_listen", self._listen_and_jump)

    def go(self) -> None:
        """Stops jumping: from now on it is an ordinary clock."""
        self._condition: Callable[[list[supervisor.Worker]], bool] = lambda workers: False

    def jump_after(self, rounds: int) -> None:
        """Past the limit of each run from now on, once a process of it has yielded so many rounds."""
        self.jump_when(
            lambda workers: any(len(worker.outcome.rounds) == rounds for worker in workers)
        )

    def jump_when(self, condition: Callable[[list[supervisor.Worker]], bool]) -> None:
        """The same, once ``condition`` holds for the run's processes; it is checked after each of their events."""
        self._condition = condition

    def _listen_and_jump(self, workers, deadline, log, note):
        def noting(worker, event):
            if (
                supervisor.time.monotonic() > deadline
            ):  # it was read together with what came in time
                return False
            ended = note(worker, event)
            if self._condition(workers):
                self.ahead += 1e6
            return ended

        self._listen(workers, deadline, log, noting)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture(scope="session")
def random_turbo(tmp_path_factory):
    """A random model in the layout of SDXL-Turbo's folder, as ``save_pretrained`` writes it."""
    import torch

    from gdd_plugin import architecture

    torch.manual_seed(0)
    target = tmp_path_factory.mktemp("models") / "random-turbo"
    architecture.pipeline(["a photo of a cat", "dog"]).save_pretrained(target)
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
    from small_training import SMALL

    from benchmark_adapters.datasets import FASHION_MNIST
    from gdd_plugin.training import journal
    from gdd_plugin.training.train import train

    folder = shared / "made"
    with FileLock(shared / "made.lock"), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            patch.setattr(journal, "LOG_EVERY", 1)
            train(folder, FASHION_MNIST, few, SMALL, save_every=2)
            torch.set_num_threads(threads)
    return folder


# Runs of real images on the tracks of ``ddbench-strange``, and their images as a submission


@pytest.fixture(scope="session")
def real_runs(strange_folder, tmp_path_factory):
    """The folder that keeps runs of random-real on the tracks ``few`` and ``pair``."""
    runs = tmp_path_factory.mktemp("real") / "runs"
    with installed(strange_folder):
        for track in ("few", "pair"):
            for todo in plan.plan(
                plan.Request("random-real", track=track, runs=runs, device="cpu"), host.build()
            ):
                harness.run(todo)
    return runs


@pytest.fixture(scope="session")
def exported(strange_folder, real_runs, tmp_path_factory):
    """The images of the run on ``few`` as a challenge's submission."""
    folder = tmp_path_factory.mktemp("submission") / "team"
    (run,) = (run for run in store.runs_in([real_runs]) if run.parts[-4] == "few")
    subprocess.run(
        [COMMAND, "export", run, "--format", "eccv2024", "--output", folder],
        check=True,
        env={**os.environ, "PYTHONPATH": str(strange_folder)},
    )
    return folder


@pytest.fixture
def submission(exported, tmp_path):
    """A copy of it, to be broken."""
    return shutil.copytree(exported, tmp_path / "team")
