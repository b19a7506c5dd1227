"""Duration of commands that import no heavy packages, and of tables with many runs."""

import os
import random
import statistics
import subprocess

import pytest
from made_records import record, save
from project import COMMAND, ROOT
from timing import seconds_of

from leaderboard.records import store

pytestmark = pytest.mark.bench


def command_seconds(*arguments):
    return seconds_of(
        lambda: subprocess.run([COMMAND, *arguments], capture_output=True, check=True)
    )


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_speed_of_help_and_list(show, arguments):
    seconds = statistics.median(command_seconds(*arguments) for _ in range(9))
    show(f"ddbench {' '.join(arguments)}", f"{seconds:.2f} s", "", "", "< 0.4 s")


def test_speed_of_tables_and_pages_with_two_thousand_records(show, tmp_path):
    runs = tmp_path / "runs"
    save_records(runs, 2000)
    for style, goal in (("github", 2), ("html", 30)):
        output = ("--format", style, "--output", tmp_path / style)
        seconds = command_seconds("leaderboard", "--runs", runs, *output)
        show(f"{style} table of 2,000 records", f"{seconds:.2f} s", "", "", f"< {goal} s")
    assert len(list((tmp_path / "html" / "runs").glob("*.html"))) == 2000


def save_records(runs, count):
    """Save runs of 60 teams on three tracks, all with the same image grid."""
    source = random.Random(0)
    real = next(store.runs_in([ROOT / "docs" / "runs"]))
    confusion = store.read(real).confusion
    for number in range(count):
        base = source.uniform(0.5, 0.9)
        unsaved = record(
            method=f"team-{number % 60}",
            track=source.choice(["quickstart", "fashion-mnist", "eccv2024-fixed"]),
            accuracies=[base + source.gauss(0, 0.01) for _ in range(3)],
            ipc=source.choice([1, 10, 50]),
            images_sha256=str(number),
            confusion=confusion,
        )
        os.link(real / "grid.png", save(runs, unsaved) / "grid.png")
