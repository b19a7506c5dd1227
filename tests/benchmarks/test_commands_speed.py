"""How long commands take that import nothing heavy, and tables of many runs."""

import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_records import record, save

from leaderboard.records import store

pytestmark = pytest.mark.bench
ROOT = Path(__file__).parent.parent.parent
COMMAND = Path(sys.executable).parent / "ddbench"


def timed(*arguments):
    began = time.perf_counter()
    subprocess.run([COMMAND, *arguments], capture_output=True, check=True)
    return time.perf_counter() - began


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_listing(show, arguments):
    seconds = statistics.median(timed(*arguments) for _ in range(9))
    show(f"ddbench {' '.join(arguments)}", f"{seconds:.2f} s", "", "", "< 0.4 s")


def test_two_thousand_records(show, tmp_path):
    draw = random.Random(0)
    real = next(folder for folder in store.runs_in([ROOT / "docs" / "runs"]))
    confusion = store.read(real).confusion
    for number in range(2000):
        base = draw.uniform(0.5, 0.9)
        one = record(
            method=f"team-{number % 60}",
            track=draw.choice(["quickstart", "fashion-mnist", "eccv2024-fixed"]),
            accuracies=[base + draw.gauss(0, 0.01) for _ in range(3)],
            ipc=draw.choice([1, 10, 50]),
            images_sha256=str(number),
            confusion=confusion,
        )
        os.link(real / "grid.png", save(tmp_path / "runs", one) / "grid.png")
    for style, goal in (("github", 2), ("html", 30)):
        seconds = timed(
            "leaderboard",
            "--runs",
            tmp_path / "runs",
            "--format",
            style,
            "--output",
            tmp_path / style,
        )
        show(f"{style} table of 2,000 records", f"{seconds:.2f} s", "", "", f"< {goal} s")
    assert len(list((tmp_path / "html" / "runs").glob("*.html"))) == 2000
