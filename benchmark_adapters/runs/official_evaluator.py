"""Run the ECCV 2024 challenge's own evaluator, from the user's checkout, on files from ddbench."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.execution.process_tree import process_tree

FORMAT = "eccv2024"
SCRIPT, SCORES = "evaluate.py", "scores.txt"
MAX_SCORES_CHARS = 10_000


@dataclass(frozen=True)
class Folders:
    """The folders that the evaluator reads and writes."""

    submission: Path
    truth: Path
    output: Path

    @classmethod
    def under(cls, root: Path) -> Folders:
        """Create the folders in ``root``."""
        folders = cls(root / "submission", root / "truth", root / "output")
        for folder in (folders.submission, folders.truth, folders.output):
            folder.mkdir()
        return folders


@dataclass(frozen=True)
class OfficialScore:
    """The evaluator's result: its value of ``correct``, and the seconds that it took."""

    correct: float
    seconds: float


def find_script(checkout: Path) -> Path:
    """Return the path of the evaluator's script in a checkout.

    Raises:
        UserError: the checkout has no such script.
    """
    if not (checkout / SCRIPT).is_file():
        raise UserError(f"--official {checkout}: no {SCRIPT} found there")
    return checkout / SCRIPT


def score(checkout: Path, folders: Folders, time_limit: float | None) -> OfficialScore:
    """Run the evaluator for at most ``time_limit`` seconds; None: no limit.

    Raises:
        UserError: the checkout has no such script, or it failed, took too long or wrote no score.
    """
    began = time.monotonic()
    log = folders.output / "log.txt"
    exit_code = _run(find_script(checkout), folders, log, time_limit)
    if exit_code:
        lines = log.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        problem = one_line(last.replace(str(checkout.absolute()), ""))
        raise UserError(f"{SCRIPT} failed with exit code {exit_code}: {problem}")
    return OfficialScore(_read_correct(folders.output / SCORES), time.monotonic() - began)


def _run(script: Path, folders: Folders, log: Path, time_limit: float | None) -> int:
    """Run the script and return its exit code; kill all processes that it leaves behind."""
    arguments = [
        "--submit_dir",
        str(folders.submission),
        # The evaluator appends file names without a slash.
        "--truth_dir",
        f"{folders.truth}/",
        "--output_dir",
        str(folders.output),
    ]
    with log.open("wb") as output, process_tree() as tree:
        command = [sys.executable, script.name, *arguments]
        process = tree.start(command, cwd=script.parent.absolute(), stdout=output, stderr=output)
        try:
            return process.wait(time_limit)
        except subprocess.TimeoutExpired:
            raise UserError(f"{SCRIPT} took longer than {time_limit:g} s") from None


def _read_correct(path: Path) -> float:
    """Return the number in the line ``correct: NUMBER``."""
    text = path.read_text(errors="replace")[:MAX_SCORES_CHARS] if path.is_file() else ""
    line = re.search(r"^correct:\s*(\S+)\s*$", text, re.MULTILINE)
    try:
        correct = float(line[1]) if line else math.nan
    except ValueError:
        correct = math.nan
    if not math.isfinite(correct):
        raise UserError(f"{SCRIPT} did not write a line `correct: NUMBER` to {SCORES}")
    return correct
