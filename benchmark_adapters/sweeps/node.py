"""The check of a machine before it gets work: what it is, and what it lacks."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark_adapters.execution import discovery
from benchmark_adapters.runs import unfinished
from benchmark_adapters.runs.request import Request, plan_runs, plan_scoring
from benchmark_adapters.types import UserError, one_line

# Seconds for `ddbench doctor`, which imports all libraries and reads all datasets.
DOCTOR_SECONDS = 600.0
# Parts of a doctor's report that decide whether a run fails, or which backend trains students.
DECISIVE = ("compiler", "model ", "dataset ", "plugins")


@dataclass(frozen=True)
class Node:
    """What a machine is.

    Attributes:
        environment: what `unfinished.here` returns there.
        has: what `ddbench doctor` found there, of what runs may need.
        lacks: why it can't work; empty: it can.
    """

    environment: dict[str, str | int | float] = field(default_factory=dict)
    has: frozenset[str] = frozenset()
    lacks: str = ""


def check(requests: Sequence[Request], folder: str, probe: Path, token: str) -> Node:
    """Look at the machine where this is called.

    Args:
        requests: one of each kind that the sweep makes.
        folder: where relative paths start.
        probe: a file in the runs folder, which all machines share.
        token: its content.
    """
    environment = unfinished.here()
    try:
        with contextlib.chdir(folder):
            if probe.read_text() != token:
                raise FileNotFoundError
            plugins = discovery.installed()
            for request in requests:
                plan = plan_runs if request.method else plan_scoring
                plan(request, plugins)
    except (OSError, UnicodeDecodeError):
        lacks = f"it doesn't share {folder} or the runs folder: a sweep needs a shared file system"
        return Node(environment, lacks=lacks)
    except UserError as error:
        return Node(environment, lacks=str(error))
    return _diagnosed(environment, requests[0].data if requests else None)


def _diagnosed(environment: dict[str, str | int | float], data: Path | None) -> Node:
    """Return what `ddbench doctor` says of this machine."""
    place = ["--data", str(data)] if data else []
    command = [sys.executable, "-P", "-m", "ddbench", "doctor", "--json", *place]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DOCTOR_SECONDS)
        found = {one["name"]: one for one in json.loads(done.stdout)}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Node(environment, lacks="`ddbench doctor` does not run there")
    wrong = [
        f"{one['name']}: {one['text']}" for one in found.values() if one["status"] == "problem"
    ]
    has = [name for name, one in found.items() if one["status"] == "ok"]
    decisive = frozenset(name for name in has if name.startswith(DECISIVE))
    return Node(environment, decisive, one_line("; ".join(wrong)))


def different(node: Node, other: dict[str, str | int | float], names: Sequence[str]) -> str:
    """Return what a machine has in another version; empty: nothing."""
    here, there = node.environment, other
    changed = [name for name in names if here.get(name) != there.get(name)]
    return ", ".join(f"{name} {here.get(name)} instead of {there.get(name)}" for name in changed)
