"""Worker processes on this machine. The tasks are functions of Python's own library."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from project import wait_for

from benchmark_adapters.sweeps.engines.engine import Lost, Task
from benchmark_adapters.sweeps.engines.local import Local


@pytest.fixture
def engine():
    """Return an engine with two workers."""
    engine = Local(2)
    yield engine
    engine.close()


def sleeping(seconds, is_clocked=False):
    return Task(time.sleep, (seconds,), is_clocked)


def processes(word):
    """Return the living children of this process with a word in their command line."""
    found = []
    for one in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found += [one] if word in str(one.cmdline()) else []
    return found


def answers(engine, count):
    """Return so many answers by the numbers of their tasks."""
    found = {}
    while len(found) < count:
        found.update(engine.wait(60))
    return found


def test_workers_live_on_and_failures_are_answers(engine):
    first = [engine.submit(Task(os.getpid, ())) for _ in range(2)]
    pids = {answer.value for answer in answers(engine, 2).values()}
    assert (len(first), len(pids), os.getpid() in pids) == (2, 2, False)
    failing = engine.submit(Task(os.listdir, ("/no/such/folder",)))
    again = engine.submit(Task(os.getpid, ()))
    found = answers(engine, 2)
    assert found[again].value in pids
    assert "FileNotFoundError" in found[failing].failure


def test_a_killed_worker_costs_only_its_task(engine):
    slow, killed = engine.submit(sleeping(2)), engine.submit(Task(signal.raise_signal, (9,)))
    waiting = engine.submit(Task(os.getpid, ()))
    found = answers(engine, 3)
    assert isinstance(found[killed], Lost)
    assert (found[slow].failure, found[waiting].failure) == (None, None)


def test_a_task_under_a_clock_runs_alone_and_first(engine):
    numbers = [engine.submit(sleeping(0.3, is_clocked=number == 1)) for number in range(4)]
    for at_work in ({numbers[0]}, {numbers[1]}, set(numbers[2:])):
        assert engine.at_work() == at_work
        answers(engine, len(at_work))


def test_closing_kills_what_still_works():
    engine = Local(1)
    engine.submit(sleeping(600))
    workers = processes("spawn_main")
    began = time.monotonic()
    engine.close()
    assert workers
    wait_for(lambda: not any(worker.is_running() for worker in workers), 20)
    assert time.monotonic() - began < 60


# Commands start with -P, and what multiprocessing starts takes that over.
WORKS = """
import os
from benchmark_adapters.sweeps.engines.engine import Task
from benchmark_adapters.sweeps.engines.local import Local

if __name__ == "__main__":
    engine = Local(1)
    engine.submit(Task(os.getpid, ()))
    ((_, answer),) = engine.wait(60)
    engine.close()
    print(answer.failure)
"""


def test_workers_import_nothing_from_the_current_folder(tmp_path):
    for name in ("multiprocessing", "pickle", "torch", "tempfile"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')")
    command = [sys.executable, "-P", "-c", WORKS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "None\n", done.stderr
    assert not (tmp_path / "imported").exists()
