"""A catalogue of hostile submissions, and what it costs to decode each of them.

``python tests/support/hostile_files.py`` prints a table of the whole catalogue.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hostile_arrays import NPZ_FILES, SAFETENSORS
from hostile_parts import Hostile
from hostile_pictures import OTHERS, PICTURES
from hostile_torch import TORCH_FILES
from hostile_zips import ARCHIVES

ATTACKS = {
    attack.name: attack
    for attack in (*TORCH_FILES, *ARCHIVES, *NPZ_FILES, *SAFETENSORS, *PICTURES, *OTHERS)
}
# What no submission of a few megabytes may cost.
MAX_SECONDS, MAX_MEGABYTES = 60, 1000
READ = "read"


class Row(NamedTuple):
    """What an attack achieved.

    Attributes:
        outcome: the line that the user gets, or `READ`.
        seconds: from the start of decoding to its end.
        megabytes: resident memory at its peak, less that of a process that decodes nothing.
    """

    attack: str
    outcome: str
    seconds: float
    megabytes: float


def rows(names: Iterable[str] = ATTACKS) -> list[Row]:
    """Return what each of the attacks achieves, all measured in one process of their own."""
    command = [sys.executable, __file__, "--json", *names]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
    return [Row(*row) for row in json.loads(done.stdout)]


def _measure(attack: Hostile, folder: Path, idle: float) -> Row:
    """Write an attack, and decode it in a process forked from this one."""
    (folder / "set").mkdir()
    (folder / "output").mkdir()
    path = str(attack.write(folder / "set"))
    outcome, seconds, peak = _forked(lambda: _decode(attack, path, str(folder / "output")))
    return Row(attack.name, outcome.replace(f"{folder}/set", "team"), seconds, peak - idle)


def _decode(attack: Hostile, path: str, output: str) -> str:
    """Decode a set as the sandbox's child does, with the same limit of memory."""
    from benchmark_adapters.execution import child, decoder
    from benchmark_adapters.execution.messages import DecodeJob, Event, Failed

    events: list[Event] = []
    job = DecodeJob(path, attack.format, "fashion-mnist", output, attack.resizes)
    child.guarded(decoder.decode)(job, events.append)
    return next((event.text for event in events if isinstance(event, Failed)), READ)


def _forked(work) -> tuple[str, float, float]:
    """Return the result of ``work()`` in a forked process, and its seconds and MB."""
    read_end, write_end = os.pipe()
    began = time.monotonic()
    process = os.fork()
    if not process:
        signal.alarm(MAX_SECONDS)
        with os.fdopen(write_end, "w", errors="replace") as pipe:
            pipe.write(work())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        result = pipe.read()
    _, status, usage = os.wait4(process, 0)
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    return result if code == 0 else f"exit code {code}", seconds, usage.ru_maxrss / 1024


def _main(names: list[str]) -> list[Row]:
    # The forked processes need not import them again.
    import psutil
    import torch  # noqa: F401

    from benchmark_adapters.execution import child, decoder  # noqa: F401

    os.environ[child.MEMORY_ENV] = str(psutil.virtual_memory().total * 3 // 4)
    _, _, idle = _forked(lambda: "")
    measured = []
    for name in names or ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(_measure(ATTACKS[name], Path(folder), idle))
    return measured


if __name__ == "__main__":
    if "--json" in sys.argv:
        print(json.dumps(_main(sys.argv[2:])))
    else:
        print("| attack | outcome | seconds | MB |\n|---|---|---|---|")
        for row in _main(sys.argv[1:]):
            outcome = " ".join(row.outcome.split()).replace("|", "\\|")
            print(f"| {row.attack} | {outcome} | {row.seconds:.2f} | {row.megabytes:.0f} |")
