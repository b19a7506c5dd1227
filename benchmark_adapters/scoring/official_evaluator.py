"""The ECCV 2024 challenge's own evaluator, in a checkout that the user has, run on files that we wrote."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark_adapters.execution.process_tree import MARK, adopt_orphans, end
from benchmark_adapters.types import UserError, one_line

FORMAT = "eccv2024"
SCRIPT, SCORES = "evaluate.py", "scores.txt"


@dataclass(frozen=True)
class Folders:
    """What the evaluator reads and where it writes."""

    submission: Path
    truth: Path
    output: Path

    @classmethod
    def under(cls, root: Path) -> Folders:
        folders = cls(root / "submission", root / "truth", root / "output")
        for folder in (folders.submission, folders.truth, folders.output):
            folder.mkdir()
        return folders


def script(checkout: Path) -> Path:
    """The evaluator in a checkout; raises `UserError` where there is none."""
    if not (checkout / SCRIPT).is_file():
        raise UserError(f"--native {checkout}: no {SCRIPT} there")
    return checkout / SCRIPT


def score(checkout: Path, folders: Folders, seconds: float) -> dict[str, Any]:
    """Runs ``evaluate.py`` and returns its ``correct``, as it wrote it, and the ``seconds`` that it took.

    Raises:
        UserError: the checkout has no such script, or it failed, took too long or wrote no score.
    """
    evaluator = script(checkout)
    places = [
        "--submit_dir",
        str(folders.submission),
        "--truth_dir",
        f"{folders.truth}/",
        "--output_dir",
        str(folders.output),
    ]  # it joins without a slash
    began = time.monotonic()
    log = folders.output / "log.txt"
    mark, others = uuid.uuid4().hex, adopt_orphans()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, evaluator.name, *places],
            cwd=checkout.absolute(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, MARK: mark},
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise UserError(f"{SCRIPT} took longer than {seconds:g} s") from None
        finally:
            end([process], mark, others)
    if code:
        said = log.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "")
        raise UserError(
            f"{SCRIPT} failed with exit code {code}: {one_line(last.replace(str(checkout.absolute()), ''))}"
        )
    return {"correct": _correct(folders.output / SCORES), "seconds": time.monotonic() - began}


def _correct(path: Path) -> float:
    text = path.read_text(errors="replace")[:10_000] if path.is_file() else ""
    found = re.search(r"^correct:\s*(\S+)\s*$", text, re.MULTILINE)
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{SCRIPT} wrote no line `correct: NUMBER` to {SCORES}")
    return value
