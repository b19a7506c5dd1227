"""Commands in real processes, whose processes can be found and whose work can be told."""

import contextlib
import os
import re
import subprocess
import time
import uuid
from pathlib import Path

import psutil
from project import COMMAND

from benchmark_adapters.runs import unfinished

TAG = "DDBENCH_TEST"
# Between two looks at what a command is doing.
POLL = 0.005
KINDS = ("guard.py", "worker", "scorer", "decoder", "plugin_reader", "student_trial")


def alive(tag):
    """Return the processes that a tag was given to, and all that these started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            if not is_zombie and process.environ().get(TAG) == tag:
                found.append(process)
    return found


def seconds_until_gone(tag, most):
    """Return how long it took until no process with a tag was left; fail after ``most`` seconds."""
    began = time.monotonic()
    while left := alive(tag):
        assert time.monotonic() - began < most, [kind_of(process) for process in left]
        time.sleep(POLL)
    return time.monotonic() - began


def kind_of(process):
    """Return what a process below a command is, such as a guard or a scorer; None: it is gone."""
    with contextlib.suppress(psutil.Error):
        line = " ".join(process.cmdline())
        for kind in KINDS:
            if re.search(rf"\b{re.escape(kind)}\b", line):
                return kind.removesuffix(".py").replace("_", " ")
        return process.name() if line else None
    return None


class Watched:
    """A command that runs in a session of its own."""

    def __init__(self, cwd: Path, arguments, repeats, **variables):
        self.tag, self.repeats = uuid.uuid4().hex, repeats
        self.log, self.printed = cwd / "log.txt", cwd / "output.txt"
        self.work: Path | None = None
        with self.log.open("wb") as log, self.printed.open("wb") as printed:
            self.process = psutil.Popen(
                [COMMAND, *map(str, arguments)],
                cwd=cwd,
                env={**os.environ, **variables, TAG: self.tag},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_running(self):
        return self.process.poll() is None

    @property
    def output(self):
        return self.printed.read_text(errors="replace")

    @property
    def errors(self):
        return self.log.read_text(errors="replace")

    def phase(self):
        """Return what the command is doing now, by the folders that it holds open."""
        held = self._held()
        if any("-board" in path.name for path in held):
            return "board"
        for path in held:
            if path.parent.name == unfinished.FOLDER:
                self.work = path
                return self._stage(path)
        return "publishing" if self.work else "start-up"

    def _stage(self, work):
        if not (work / unfinished.DRAFT).exists():
            return "sampling"
        finished = list((work / unfinished.SEEDS).glob("[!.]*.json"))
        return "publishing" if len(finished) >= self.repeats else "scoring"

    def _held(self):
        folder, paths = Path(f"/proc/{self.process.pid}/fd"), []
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    paths.append(Path(os.readlink(folder / name)))
        return paths

    def phases(self):
        """Yield each phase as it is seen, until the command ends."""
        while self.is_running:
            yield self.phase()
            time.sleep(POLL)
