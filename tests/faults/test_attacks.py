"""Every method and file of the catalogues that means harm, and what each kind of them costs."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import hostile_files
import psutil
import pytest
from hostile_arrays import NPZ_FILES, SAFETENSORS
from hostile_files import READ
from hostile_pictures import OTHERS, PICTURES
from hostile_torch import TORCH_FILES
from hostile_zips import ARCHIVES
from small_runs import run

from benchmark_adapters.execution import supervisor
from benchmark_adapters.execution.process_tree import ProcessTree
from benchmark_adapters.execution.watch import Bounds
from benchmark_adapters.runs.sources import method as method_source
from benchmark_adapters.types import UserError
from leaderboard.records import store

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a guard"),
]

# A flood of batches is a set, and its images are held in memory twice at most.
LIMIT, MAX_OVERRUN, MAX_MEGABYTES = 10.0, 2.0, 600
# Small bounds, which an attack exceeds within the limit.
SMALL = Bounds(memory=2**30, written=2**28, threads=200)
EVENTS = (
    "outside other-part twice negative more-sampled huge-number deep very-deep long long-name "
    "beyond unknown surrogate no-end"
)
# The attacks by kind: methods of the example plugin, each with its options.
METHODS = {
    "break the contract": """
        unbalanced raises wrong-shape wrong-size wrong-dtype nan label-range label-dtype label-count
        no-pair nothing too-few dies dies-namelessly leaves exits silenced-raises no-generator
        empty-batches many-lines nan-report typed-report uneven
    """,
    "ignore the limit": "hangs slow ignores-sigterm stops traced",
    "forge events": f"meddles claims {' '.join(f'forges:event={name}' for name in EVENTS.split())}",
    "replace files": """
        deletes replaces-batch:kind=link replaces-batch:kind=fifo replaces-batch:kind=folder
        replaces-batch:kind=device replaces-batch:kind=other-labels replaces-batch:kind=other-type
        replaces-batch:kind=nothing plants-links replaces-folder
    """,
    "leave processes behind": """
        forks:asleep=True daemons:kind=with-guard daemons:kind=without-guard comes-back-twice flees
    """,
    "flood": "megabyte floods:kind=events floods:kind=output floods:kind=files floods:kind=batches",
    "use up the machine": """
        eats:kind=memory eats:kind=processes eats:kind=threads eats:kind=disk eats:kind=elsewhere
    """,
}
FILES = {
    "torch files": TORCH_FILES,
    "zip archives": ARCHIVES,
    "npz and npy files": NPZ_FILES,
    "safetensors files": SAFETENSORS,
    "pictures": PICTURES,
    "links, pipes, devices and others": OTHERS,
}


class Cost(NamedTuple):
    """What an attack cost.

    Attributes:
        overrun: seconds from the time limit until none of the method's processes was left.
        megabytes: how much the resident memory of this process grew at its peak.
        seconds: from the beginning of the run to its record.
        message: what the user is told.
    """

    overrun: float
    megabytes: float
    seconds: float
    message: str


def options_of(attack: str, folder: Path) -> tuple[str, list[str]]:
    """Return the method of an attack, and its options; a target is a file outside the run."""
    method, *settings = re.split("[:,]", attack)
    if method == "forks":
        settings.append(f"pids={folder / 'pids'}")
    elif settings or method.startswith(("plants", "replaces")):
        (folder / "target").mkdir() if method == "replaces-folder" else None
        settings.append(f"target={folder / 'target'}")
    return method, settings


@pytest.fixture
def ends(monkeypatch):
    """Return a list that receives, for each run, the seconds until its processes were gone."""
    found: list[float] = []
    start, kill = supervisor._Run.start, ProcessTree.kill

    def started(self, *arguments) -> None:
        self.tree.began = time.monotonic()
        start(self, *arguments)

    def killed(self) -> None:
        kill(self)
        if hasattr(self, "began"):
            found.append(time.monotonic() - self.began)

    monkeypatch.setattr(supervisor._Run, "start", started)
    monkeypatch.setattr(ProcessTree, "kill", killed)
    return found


def peak() -> float:
    """Return the peak of this process's resident memory in MB since `reset_peak`."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def cost_of(attack, plugins, folder: Path, ends) -> Cost:
    folder.mkdir()
    method, options = options_of(attack, folder)
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    reset_peak()
    idle, began = peak(), time.monotonic()
    # A flood of batches must not be over when there are enough of them.
    settings = {"options": options, "ipc": "max" if method == "floods" else None}
    try:
        place, record = run(plugins, folder, method, repeats=0, time_limit=LIMIT, **settings)
        assert store.read(place) == record
        assert (record.comparable, record.accuracies) == (False, [])
        message = record.message
    except UserError as error:
        message = str(error)
    seconds = time.monotonic() - began
    left = {process.pid for process in psutil.Process().children(recursive=True)} - before
    assert not left
    return Cost(max(0.0, ends.pop() - LIMIT), peak() - idle, seconds, message)


@pytest.mark.parametrize("kind", METHODS)
def test_methods(kind, example_plugins, tmp_path, monkeypatch, ends, measured):
    monkeypatch.setattr(method_source, "Bounds", lambda memory: SMALL)
    costs = []
    for attack in METHODS[kind].split():
        folder = tmp_path / re.sub("[:=]", "-", attack)
        costs.append(cost_of(attack, example_plugins, folder, ends))
        print(attack, costs[-1])
    overrun, megabytes, seconds, _ = (max(values) for values in zip(*costs, strict=True))
    assert overrun < MAX_OVERRUN
    assert megabytes < MAX_MEGABYTES
    measured(
        **{
            "attacks": f"methods that {kind}",
            "number": len(costs),
            "overrun of the limit": f"{overrun:.2f} s",
            "memory": f"{megabytes:.0f} MB",
            "time": f"{seconds:.1f} s",
        }
    )


@pytest.mark.parametrize("kind", FILES)
def test_files(kind, measured):
    rows = hostile_files.rows([attack.name for attack in FILES[kind]])
    for row in rows:
        says = hostile_files.ATTACKS[row.attack].says
        assert " ".join(says.split()) in " ".join(row.outcome.split())
        assert (row.outcome == READ) == (not says)
    megabytes, seconds = max(row.megabytes for row in rows), max(row.seconds for row in rows)
    assert seconds < hostile_files.MAX_SECONDS
    assert megabytes < hostile_files.MAX_MEGABYTES
    measured(
        **{
            "attacks": kind,
            "number": len(rows),
            "overrun of the limit": "",
            "memory": f"{megabytes:.0f} MB",
            "time": f"{seconds:.1f} s",
        }
    )
