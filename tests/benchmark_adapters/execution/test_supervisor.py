"""The time limit in real child processes, and every way a method can misbehave."""

import os
import re
import signal
import sys
import uuid
from pathlib import Path

import numpy as np
import psutil
import pytest
from project import wait_for
from safetensors.numpy import load_file
from small_runs import run

from benchmark_adapters.execution.log import Log
from benchmark_adapters.execution.process_tree import RUN_TAG_ENV
from leaderboard.records import store
from leaderboard.records.record import Reason

LONG_RUN = ("--track", "few", "--device", "cpu", "--time-limit", "3600")
RUN_SLOW = ("run", "--method", "slow", *LONG_RUN, "--ipc", "5")


@pytest.fixture(autouse=True)
def _this_test(monkeypatch):
    """Tag the processes of this test, to distinguish them from others on the machine."""
    monkeypatch.setenv("DDBENCH_TEST", uuid.uuid4().hex)


def processes_of_runs():
    """Return the running processes that a run of this test started."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
            if (
                RUN_TAG_ENV in environment
                and environment.get("DDBENCH_TEST") == os.environ["DDBENCH_TEST"]
            ):
                processes.append(process)
        except psutil.Error:
            continue
    return processes


@pytest.fixture(autouse=True)
def _no_stray_process(_this_test):
    yield
    assert processes_of_runs() == []


def test_only_batches_in_time_are_kept(example_plugins, tmp_path, clock):
    clock.jump_after(batches=3)
    folder, record = run(example_plugins, tmp_path, "good", ipc=50)
    assert record.status == "timeout"
    assert record.message == "3 of 50 images per class by the time limit"
    assert record.ipc == 3
    assert len(load_file(folder / "images.safetensors")["labels"]) == 30
    assert record.n == 2
    assert record.comparable is False
    assert record.seconds.load + record.seconds.generate <= 30


def test_max_ipc_at_the_limit_is_ok_and_balanced(example_plugins, tmp_path, clock):
    clock.jump_after(batches=9)
    folder, record = run(example_plugins, tmp_path, "unbalanced", ipc="max", repeats=0)
    labels = load_file(folder / "images.safetensors")["labels"]
    assert np.bincount(labels).tolist() == [4] * 10
    assert (record.status, record.ipc, record.ipc_asked, record.accuracies) == ("ok", 4, None, [])
    assert Reason("ipc", "IPC 4 instead of 2") in record.not_comparable_because


def test_last_replacement_in_time_is_the_set(example_plugins, tmp_path, clock):
    clock.jump_after(batches=2)
    folder, record = run(example_plugins, tmp_path, "improves")
    tensors = load_file(folder / "images.safetensors")
    assert set(tensors["images"].ravel()) == {2}
    assert (record.status, record.ipc, record.generated_per_class) == ("ok", 2, 2)
    assert record.comparable


def test_method_decides_when_its_last_replacement_is_done(example_plugins, tmp_path):
    folder, record = run(example_plugins, tmp_path, "improves", repeats=0)
    tensors = load_file(folder / "images.safetensors")
    assert set(tensors["images"].ravel()) == {3}
    assert (record.status, record.ipc, record.generated_per_class) == ("ok", 2, 0)
    assert (record.sampled, record.images_per_second) == (500, 2000)


def test_invalid_replacement_keeps_the_one_before(example_plugins, tmp_path):
    folder, record = run(example_plugins, tmp_path, "uneven")
    assert record.status == "invalid"
    assert "a Replacement with 1 to 2 images per class" in record.message
    assert len(load_file(folder / "images.safetensors")["labels"]) == 20


def test_no_batch_in_time_is_timeout_without_score(example_plugins, tmp_path):
    folder, record = run(example_plugins, tmp_path, "hangs", time_limit=1)
    assert (record.status, record.accuracies, record.ipc) == ("timeout", [], 0)
    assert not (folder / "images.safetensors").exists()


def test_method_that_ignores_sigterm_is_killed(example_plugins, tmp_path, clock):
    """The fixture ``_no_stray_process`` checks that its process is gone."""
    clock.jump_after(batches=1)
    _, record = run(example_plugins, tmp_path, "ignores-sigterm")
    assert (record.status, record.ipc) == ("timeout", 1)


@pytest.mark.parametrize(
    ("method", "status", "message"),
    [
        ("raises", "error", r"the method raised RuntimeError: the model exploded"),
        ("raises-bytes", "error", r"the method raised RuntimeError: no file \\xff"),
        ("exits", "error", r"the method raised SystemExit: enough"),
        ("dies", "error", r"process was killed by signal SIGKILL"),
        ("dies-namelessly", "error", r"process was killed by signal 40"),
        ("leaves", "error", r"process exited with code 7"),
        ("wrong-shape", "invalid", r"shape \[10, 28, 28\], expected \[n, 1, 28, 28\]"),
        ("wrong-size", "invalid", r"shape \[10, 1, 32, 32\], expected \[n, 1, 28, 28\]"),
        ("wrong-dtype", "invalid", r"type float64, expected uint8"),
        ("nan", "invalid", r"type float32, some of them NaN or infinite, expected uint8"),
        ("label-range", "invalid", r"labels from 1 to 10, expected 0 to 9"),
        ("label-dtype", "invalid", r"labels of type float64"),
        ("label-count", "invalid", r"labels of type int64 and shape \[5\], expected int64 \[10\]"),
        ("no-pair", "invalid", r"yielded ndarray, expected a tuple"),
        ("nothing", "invalid", r"stopped before generating 2 images per class"),
        ("silenced-raises", "error", r"RuntimeError: nobody hears it"),
        ("meddles", "invalid", r"wrote to the pipe reserved for the harness"),
        ("deletes", "error", r"the batch files are missing or damaged"),
        ("no-generator", "invalid", r"distill returned NoneType, expected a generator"),
        ("empty-batches", "invalid", r"no images"),
        ("many-lines", "error", r"^one two \[31m x{400,500}\.\.\.$"),
        ("too-few", "invalid", r"stopped after 1 of 2 images per class"),
    ],
)
def test_broken_methods_leave_record_without_score(
    example_plugins, tmp_path, method, status, message
):
    folder, record = run(example_plugins, tmp_path, method)
    assert record.status == status
    assert re.search(message, record.message)
    assert "\n" not in record.message
    assert (record.accuracies, record.comparable) == ([], False)
    assert store.runs_in([tmp_path / "runs"]).__next__() == folder


def test_images_before_a_failure_are_kept(example_plugins, tmp_path):
    folder, record = run(example_plugins, tmp_path, "raises")
    assert record.ipc == 1
    assert len(load_file(folder / "images.safetensors")["labels"]) == 10
    assert "exploded" in (folder / "log.txt").read_text()


def test_long_output_shortens_only_the_log(example_plugins, tmp_path):
    folder, record = run(example_plugins, tmp_path, "megabyte")
    text = (folder / "log.txt").read_text()
    assert record.status == "ok"
    assert 50_000 < len(text) < 200_000
    assert text.startswith("first words")
    assert "last words" in text
    assert "bytes omitted" in text


def test_log_keeps_both_ends():
    log = Log()
    for number in range(100_000):
        log.write(b"%07d\n" % number)
    lines = log.text().splitlines()
    assert (lines[0], lines[-1]) == ("0000000", "0099999")
    kept = len(log.head) + len(log.tail)
    assert log.left_out + kept == 800_000


def test_no_process_survives_in_a_new_session(example_plugins, tmp_path):
    pids = tmp_path / "pids"
    _, record = run(example_plugins, tmp_path, "forks", options=[f"pids={pids}"])
    assert record.status == "ok"
    assert living(pids) == []
    # Records don't name local folders.
    assert record.options["pids"] == "pids"


def living(pids):
    """Return which of the three processes listed by a method are still running."""
    numbers = [int(pid) for pid in pids.read_text().split()]
    assert len(numbers) == 3
    return [
        pid
        for pid in numbers
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


UNLIKE_LINUX = """
from benchmark_adapters import cli
from benchmark_adapters.execution import process_tree
process_tree.ADOPTS_ORPHANS = False
cli.main()
"""


@pytest.mark.parametrize("ending", [None, signal.SIGTERM, signal.SIGKILL])
def test_no_process_survives_without_adoption_of_orphans(started, tmp_path, ending):
    """On macOS: the method returns, the harness is terminated, or the harness is killed."""
    pids = tmp_path / "pids"
    options = ("--option", f"pids={pids}", "--option", f"asleep={ending is not None}")
    command = ("run", "--method", "forks", *LONG_RUN, "--repeats", "0", *options)
    process = started("-c", UNLIKE_LINUX, *command, program=sys.executable)
    if ending:
        wait_for((tmp_path / "asleep").exists)
        process.send_signal(ending)
    process.communicate(timeout=300)
    wait_for(lambda: not living(pids) and not processes_of_runs())


def test_method_that_reads_stdin_does_not_hang(example_plugins, tmp_path):
    assert run(example_plugins, tmp_path, "reads-stdin")[1].status == "ok"


@pytest.mark.parametrize("method", ["silenced", "comes-back-twice", "nan-report", "typed-report"])
def test_harmless_oddities_are_accepted(example_plugins, tmp_path, method):
    assert run(example_plugins, tmp_path, method, repeats=0)[1].status == "ok"


def test_method_may_change_its_working_directory(example_plugins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(example_plugins, tmp_path, "wanders", runs=Path("runs"))[1].status == "ok"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_run_keeps_images_and_leaves_no_process(started, tmp_path, number):
    process = started(*RUN_SLOW)
    wait_for((tmp_path / "asleep").exists)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    record = store.read(next(store.runs_in([tmp_path / "runs"])))
    assert (record.status, record.message, record.ipc) == ("error", "interrupted", 4)
    assert "status error: interrupted" in err


def test_killed_harness_stops_its_method(started, tmp_path):
    process = started(*RUN_SLOW)
    wait_for((tmp_path / "asleep").exists)
    process.kill()
    process.wait()
    wait_for(lambda: not processes_of_runs())
