"""Control groups: real ones where this machine has them, and a folder that stands for one."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from project import wait_for
from small_runs import run

from benchmark_adapters.execution import cgroup, watch
from benchmark_adapters.execution.cgroup import Group, NoGroup
from benchmark_adapters.execution.process_tree import process_tree
from benchmark_adapters.execution.watch import BoundExceeded, Bounds, Watch
from benchmark_adapters.runs.sources import method as method_source

# It leaves its session and its environment, and its parent ends.
DAEMON = ["sh", "-c", "env -i setsid sh -c 'sleep 1000 & sleep 1000' & echo started; sleep 1000"]
# It starts more and more processes, unless nothing bounds it.
BOMB = """
import os
assert "/ddbench-" in open("/proc/self/cgroup").read()
print("started", flush=True)
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


def reason():
    try:
        return "" if cgroup.place() else "never"
    except NoGroup as error:
        return str(error)


BOUNDED = pytest.mark.skipif(bool(reason()), reason=reason())


@pytest.fixture
def unbounded(monkeypatch):
    """Make real groups without bounds, and return their place.

    More machines have those, as groups of the first version often own the controllers.
    """
    write = cgroup._write
    monkeypatch.setattr(cgroup, "CONTROLLERS", frozenset())
    monkeypatch.setattr(
        cgroup,
        "_write",
        lambda file, value: write(file, value) if file.name.startswith("cgroup.") else None,
    )
    if why_not := reason():
        pytest.skip(why_not)
    return cgroup.place()


def pids(group):
    return [int(pid) for pid in (group.path / "cgroup.procs").read_text().split()]


def started(tree, command):
    """Start a command in a new group of the tree, and return the group."""
    tree.group = cgroup.new(tree.tag, 2**30, 100)
    process = tree.start(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"started\n"
    return tree.group


def test_all_that_a_process_starts_is_in_its_group_and_ends_with_it(unbounded):
    with process_tree() as tree:
        group = started(tree, DAEMON)
        # The guard, and two shells with three that sleep.
        wait_for(lambda: len(pids(group)) == 6)
        found = pids(group)
        assert tree.processes[0].pid in found
        assert os.getpid() not in found
    assert not group.path.exists()
    assert not any(psutil.pid_exists(pid) for pid in found)


def test_a_kernel_that_cannot_kill_a_group_is_helped(unbounded, monkeypatch):
    """The file ``cgroup.kill`` is missing: as before Linux 5.14."""

    def fail(file, value):
        raise PermissionError(str(file))

    with process_tree() as tree:
        group = started(tree, DAEMON)
        monkeypatch.setattr(cgroup, "_write", fail)
        group.remove()
        assert not group.path.exists()


def test_the_guard_kills_the_group_when_the_harness_is_gone(unbounded):
    """A pipe closes, as if this process was killed. The stranger is no descendant of the guard."""
    with process_tree() as tree:
        group = started(tree, DAEMON)
        stranger = subprocess.Popen(["sleep", "1000"])
        (group.path / "cgroup.procs").write_text(str(stranger.pid))
        os.close(tree.lifeline.pop())
        assert stranger.wait(30) == -signal.SIGKILL
        wait_for(lambda: not pids(group))


def test_empty_groups_of_killed_harnesses_are_removed(unbounded):
    gone = subprocess.Popen(["true"])
    gone.wait()
    with process_tree() as tree:
        kept = started(tree, DAEMON)
        empty, inhabited = (
            unbounded / f"ddbench-{gone.pid}-{tree.tag}{number}" for number in range(2)
        )
        (empty / "inner").mkdir(parents=True)
        inhabited.mkdir()
        (inhabited / "cgroup.procs").write_text(str(tree.processes[0].pid))
        new = cgroup.new(f"{tree.tag}2", 2**30, 100)
        assert (empty.exists(), inhabited.exists(), kept.path.exists()) == (False, True, True)
        new.remove()
        Group(inhabited, 100).remove()
        assert not new.path.exists()
        assert not inhabited.exists()


def test_a_run_leaves_neither_processes_nor_its_group(unbounded, example_plugins, tmp_path, clock):
    clock.jump_after(batches=1)
    target = tmp_path / "pids"
    options = ["kind=with-guard", f"target={target}"]
    _, record = run(example_plugins, tmp_path, "daemons", repeats=0, options=options)
    assert record.status == "timeout"
    assert not any(psutil.pid_exists(int(pid)) for pid in target.read_text().split())
    assert list(unbounded.glob(f"ddbench-{os.getpid()}-*")) == []


@BOUNDED
@pytest.mark.parametrize(
    ("kind", "bounds", "message"),
    [
        ("memory", {"memory": 2**29}, "it used more than 0.5 GiB of memory; --memory-limit sets"),
        ("processes", {"threads": 40}, "it was refused another process or thread; it may have"),
    ],
)
def test_the_kernel_keeps_bounds_between_two_looks(
    example_plugins, tmp_path, monkeypatch, kind, bounds, message
):
    monkeypatch.setattr(method_source, "Bounds", lambda memory: Bounds(**bounds))
    monkeypatch.setattr(watch, "INTERVAL", 3600)
    _, record = run(example_plugins, tmp_path, "eats", repeats=0, options=[f"kind={kind}"])
    assert (record.status, record.ipc) == ("error", 1)
    assert record.message.startswith(f"the method was stopped: {message}")
    assert list(cgroup.place().glob(f"ddbench-{os.getpid()}-*")) == []


@BOUNDED
@pytest.mark.parametrize("harness", ["ends", "is-gone"])
def test_a_process_that_keeps_forking_ends_with_the_run(harness):
    with process_tree() as tree:
        group = started(tree, [sys.executable, "-c", BOMB])
        wait_for(group.used_up_tasks)
        if harness == "is-gone":
            os.close(tree.lifeline.pop())
            wait_for(lambda: not pids(group), seconds=60)
    assert not group.path.exists()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a folder that stands for the mounted hierarchy, with this process in ``user/own``."""
    root = tmp_path / "groups"
    (root / "user" / "own").mkdir(parents=True)
    for folder in (root, root / "user"):
        (folder / "cgroup.subtree_control").write_text("cpu memory pids\n")
        (folder / "cgroup.procs").touch()
    (root / "user" / "own" / "memory.max").write_text("max\n")
    (root / "user" / "own" / "cpu.max").write_text("max 100000\n")
    mounts = "21 1 0:2 / /proc rw shared:1 - proc proc rw\n"
    mounts += f"31 23 0:28 / {root} rw,relatime shared:4 - cgroup2 cgroup2 rw\n"
    (tmp_path / "mountinfo").write_text(mounts)
    (tmp_path / "cgroup").write_text("4:memory:/elsewhere\n0::/user/own\n")
    monkeypatch.setattr(cgroup, "PROC", tmp_path)
    return root


def test_a_group_is_made_beside_that_of_the_harness_with_its_bounds(fake):
    group = cgroup.new("tag", 2**30, 100)
    assert group.path == fake / "user" / f"ddbench-{os.getpid()}-tag"
    written = {file.name: file.read_text() for file in group.path.iterdir()}
    assert written == {
        "memory.max": str(2**30),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "100",
    }


def test_in_the_root_a_group_is_made_below(fake, tmp_path):
    (tmp_path / "cgroup").write_text("0::/\n")
    assert cgroup.place() == fake


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("groups/user/cgroup.subtree_control", "cpu pids", "have no controller for memory"),
        ("groups/user/own/memory.max", "1000000", "would not hold beside it .memory.max"),
        ("groups/user/own/cpu.max", "50000 100000", "would not hold beside it .cpu.max"),
        ("mountinfo", "21 1 0:2 / /proc rw - proc proc rw", "no cgroup v2 is mounted"),
        ("cgroup", "4:memory:/elsewhere", "in no group of cgroup v2"),
    ],
)
def test_where_no_group_can_be_had_everything_goes_on_without(fake, tmp_path, file, text, message):
    (tmp_path / file).write_text(text)
    with pytest.raises(NoGroup, match=message):
        cgroup.place()
    assert cgroup.new("tag", 2**30, 100) is None
    assert list(fake.rglob("ddbench-*")) == []


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("memory.events", "low 0\nmax 9\noom 1\noom_kill 3\noom_group_kill 1", "0.5 GiB of memory"),
        ("pids.events", "max 2", "refused another process or thread; it may have 10,000 at most"),
        # The whole machine had no memory left.
        ("memory.events", "low 0\nmax 0\noom 0\noom_kill 1", None),
        ("pids.events", "max 0", None),
    ],
)
def test_what_the_kernel_did_is_told(tmp_path, monkeypatch, file, text, message):
    """A folder stands for the group."""
    monkeypatch.setattr(cgroup, "new", lambda tag, memory, tasks: Group(tmp_path, tasks))
    (tmp_path / file).write_text(f"{text}\n")
    with process_tree() as tree:
        looks = Watch(tree, tmp_path, Bounds(memory=2**29))
        tree.group = None
        if message:
            with pytest.raises(BoundExceeded, match=message):
                looks.look_at_group()
        else:
            looks.look_at_group()
