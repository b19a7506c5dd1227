"""Methods that attack the harness, in real processes: `ddbench_example.attacks`."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from project import wait_for
from safetensors.numpy import load_file
from small_runs import run

from benchmark_adapters.execution import isolation
from benchmark_adapters.execution.process_tree import GUARD, process_tree
from benchmark_adapters.execution.watch import Bounds
from benchmark_adapters.runs.sources import method as method_source
from leaderboard.records import store

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a guard")
ISOLATES = pytest.mark.skipif(bool(isolation.why_not()), reason=isolation.why_not())
# Names of the events in `ddbench_example.attacks`.
EVENTS = [
    "outside",
    "other-part",
    "twice",
    "negative",
    "more-sampled",
    "huge-number",
    "deep",
    "very-deep",
    "long",
    "long-name",
    "beyond",
    "unknown",
    "surrogate",
    "no-end",
]
IN_VAIN = "the method wrote to the pipe reserved for the harness"


def attack(example_plugins, tmp_path, method, **options):
    """Run a method; return the folder, the record, and the seconds beyond the time limit."""
    began = time.monotonic()
    folder, record = run(
        example_plugins,
        tmp_path,
        method,
        repeats=0,
        options=[f"{name}={value}" for name, value in options.items()],
    )
    return folder, record, time.monotonic() - began


@pytest.mark.parametrize("event", EVENTS)
def test_forged_events_are_refused(example_plugins, tmp_path, event):
    folder, record, _ = attack(example_plugins, tmp_path, "forges", event=event)
    assert (record.status, record.message) == ("invalid", IN_VAIN)
    assert store.read(folder) == record
    assert record.ipc == 1


def test_a_batch_with_fewer_images_than_reported_is_refused(example_plugins, tmp_path, clock):
    clock.jump_after(batches=2)
    _, record, _ = attack(example_plugins, tmp_path, "claims")
    assert (record.status, record.ipc) == ("error", 0)
    assert "hold 20 images, 20 of them sampled; 10,010 and 10,010 were reported" in record.message


@pytest.mark.parametrize(
    "kind", ["link", "fifo", "folder", "device", "other-labels", "other-type", "nothing"]
)
def test_what_is_no_batch_file_is_refused(example_plugins, tmp_path, kind):
    target = tmp_path / "private"
    _, record, _ = attack(example_plugins, tmp_path, "replaces-batch", kind=kind, target=target)
    assert (record.status, record.ipc) == ("error", 0)
    assert "0-0000000.safetensors" in record.message


def test_links_in_the_folder_of_a_run_lead_nowhere(example_plugins, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    folder, record, _ = attack(example_plugins, tmp_path, "plants-links", target=target)
    assert (record.status, record.ipc) == ("ok", 2)
    assert target.read_text() == "precious"
    assert not any(file.is_symlink() for file in folder.iterdir())
    assert len(load_file(folder / "images.safetensors")["labels"]) == 20


def test_a_replaced_folder_is_not_used(ddbench, example_folder, tmp_path):
    (tmp_path / "other").mkdir()
    options = ("--option", f"target={tmp_path / 'other'}", "--time-limit", "3")
    command = ("run", "--method", "replaces-folder", "--track", "few", "--device", "cpu")
    done = ddbench(*command, *options, path=[example_folder])
    assert done.returncode == 2
    assert "was replaced while the method ran" in done.stderr
    assert list((tmp_path / "other").iterdir()) == []


@LINUX
def test_processes_that_live_too_shortly_to_be_found_are_killed(example_plugins, tmp_path, clock):
    clock.jump_after(batches=1)
    before = psutil.Process().children(recursive=True)
    # They would go on for 20 seconds.
    _, record, seconds = attack(example_plugins, tmp_path, "flees")
    assert (record.status, record.ipc) == ("timeout", 1)
    assert seconds < 15
    assert set(psutil.Process().children(recursive=True)) <= set(before)


def living(pids):
    numbers = [int(pid) for pid in Path(pids).read_text().split()]
    assert len(numbers) == 3
    return [pid for pid in numbers if psutil.pid_exists(pid)]


@LINUX
@pytest.mark.parametrize("kind", ["with-guard", "without-guard"])
def test_no_daemon_outlives_its_run(example_plugins, tmp_path, clock, kind):
    clock.jump_after(batches=1)
    pids = tmp_path / "pids"
    _, record, _ = attack(example_plugins, tmp_path, "daemons", kind=kind, target=pids)
    assert record.status in ("timeout", "error")
    assert living(pids) == []


@LINUX
def test_no_daemon_outlives_a_harness_that_is_killed(started, tmp_path):
    pids = tmp_path / "pids"
    command = ("run", "--method", "daemons", "--track", "few", "--device", "cpu")
    process = started(*command, "--time-limit", "3600", "--option", f"target={pids}")
    wait_for((tmp_path / "asleep").exists)
    process.kill()
    process.wait()
    wait_for(lambda: not living(pids), seconds=20)


@LINUX
@pytest.mark.parametrize("method", ["traced", "stops"])
def test_a_process_that_is_held_is_killed_in_time(example_plugins, tmp_path, clock, method):
    clock.jump_after(batches=1)
    _, record, seconds = attack(example_plugins, tmp_path, method)
    assert (record.status, record.ipc) == ("timeout", 1)
    assert seconds < 15


@pytest.mark.parametrize(
    ("kind", "bounds", "message"),
    [
        ("memory", {"memory": 2**29}, "it used more than 0.5 GiB of memory; --memory-limit"),
        ("processes", {"threads": 200}, "it started more than 200 processes or threads"),
        ("threads", {"threads": 200}, "it started more than 200 processes or threads"),
        ("disk", {"written": 2**28}, "0.2 GiB of the disk were filled while it ran"),
        ("elsewhere", {"written": 2**28}, "0.2 GiB of the disk were filled while it ran"),
    ],
)
def test_what_a_method_uses_is_bounded(
    example_plugins, tmp_path, monkeypatch, kind, bounds, message
):
    monkeypatch.setattr(method_source, "Bounds", lambda memory: Bounds(**bounds))
    more = tmp_path / "more"
    _, record, _ = attack(example_plugins, tmp_path, "eats", kind=kind, target=more)
    assert record.status == "error"
    assert record.message.startswith(f"the method was stopped: {message}")
    assert record.ipc == 1


@ISOLATES
def test_an_isolated_method_reads_data_but_reaches_nothing(ddbench, example_folder, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "runs" / store.UNFINISHED / "other" / "seeds").mkdir(parents=True)
    command = ("run", "--method", "escapes", "--track", "few", "--device", "cpu", "--repeats", "0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = {"target": target, "kind": server.getsockname()[1], "event": os.getpid()}
        given = [f"--option={name}={value}" for name, value in options.items()]
        found = {}
        for mode in ("auto", "on"):
            done = ddbench(*command, *given, "--isolate", mode, "--json", path=[example_folder])
            assert done.returncode == 0, done.stderr
            found[mode] = store.Record.from_json(done.stdout).metadata
    home = Path("~/ddbench-escaped").expanduser()
    home.unlink(missing_ok=True)
    assert found["auto"]["escaped"] == ["home", "target", "seeds", "network", "kill"]
    assert (found["on"]["escaped"], found["on"]["data"]) == ([], 300)
    assert (found["on"]["isolated"], "isolated" in found["auto"]) == ("yes", False)


@ISOLATES
def test_trials_and_repeated_runs_are_isolated_too(ddbench, example_folder, tmp_path):
    target = tmp_path / "precious"
    run = ("run", "--method", "escapes", "--track", "few", "--device", "cpu", "--repeats", "0")
    options = ("--option", f"target={target}", "--option", "kind=1", "--option", "event=1")
    made = ddbench(*run, *options, "--json", path=[example_folder])
    Path("~/ddbench-escaped").expanduser().unlink()
    assert target.read_text() == "changed"
    rerun = ("rerun", store.Record.from_json(made.stdout).run_id, "--option", f"target={target}")
    for command in ((*run, *options, "--plan"), rerun):
        target.write_text("precious")
        ddbench(*command, "--isolate", "on", path=[example_folder])
        assert target.read_text() == "precious"


@ISOLATES
def test_a_signal_is_told_from_an_exit_code_also_in_isolation(tmp_path):
    prefix = isolation.prefix("on", tmp_path)
    with process_tree() as tree:
        for script, code in (("kill -9 $$", -9), ("exit 7", 7)):
            assert tree.start([*prefix, "sh", "-c", script]).wait() == code


def test_isolation_that_does_not_work_is_one_line(ddbench, example_folder, monkeypatch):
    monkeypatch.setattr(isolation, "why_not", lambda: "bubblewrap is missing; install it")
    run = ("run", "--method", "good", "--track", "few", "--device", "cpu")
    check = ("check", "team", "--dataset", "few")
    for command in (run, check):
        done = ddbench(*command, "--isolate", "on", path=[example_folder])
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: --isolate on: bubblewrap is missing; install it\n"


# A user who is not root starts processes until the kernel refuses one.
STARTS = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import guard
if os.getuid() == 0:
    os.setuid(65534)
guard.bound_tasks(50)
started = []
try:
    while len(started) < 5000:
        pid = os.fork()
        if not pid:
            signal.pause()
        started.append(pid)
except BlockingIOError:
    print("refused")
finally:
    for pid in started:
        os.kill(pid, signal.SIGKILL)
"""


@LINUX
def test_a_user_is_refused_processes_beyond_the_bound():
    command = [sys.executable, "-c", STARTS, str(GUARD.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr


@LINUX
def test_the_guard_starts_fast_and_ends_like_its_command():
    with process_tree() as tree:
        began = time.monotonic()
        assert tree.start(["sh", "-c", "exit 7"]).wait() == 7
        assert time.monotonic() - began < 1
        assert tree.start(["sh", "-c", "kill -TERM $$"]).wait() == -signal.SIGTERM
        assert tree.start(["/no/such/program"]).wait() == 127
    assert GUARD.is_file()
