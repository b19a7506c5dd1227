"""Pages of real, failed and hostile runs, and a browser to look at them."""

import shutil
import subprocess

import pytest
from browser import open_browser
from made_records import HOSTILE, record, save
from project import COMMAND, ROOT

from benchmark_adapters.scoring.recipes import ECCV2024
from leaderboard.records.record import Finding, Origin, Seconds


def matrix(classes, correct, others):
    """Return a confusion matrix with as many correct and other predictions for each class."""
    return [
        [
            correct if label == true else others if label == (true + 1) % classes else 0
            for label in range(classes)
        ]
        for true in range(classes)
    ]


@pytest.fixture(scope="module")
def browser():
    with open_browser() as window:
        yield window


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a runs folder with the committed runs (with real pictures) and untrusted runs."""
    runs = tmp_path_factory.mktemp("page") / "runs"
    shutil.copytree(ROOT / "docs" / "runs", runs)
    mean = {
        "track": "eccv2024-fixed",
        "ipc": 10,
        "repeats": 3,
        "recipe": ECCV2024.name,
        "recipe_sha256": ECCV2024.sha256,
        "seconds": Seconds(evaluate=30.0, limit=600.0),
        "data_sha256": "d" * 64,
        "limit_enforced": False,
        "origin": Origin("file", file="team.zip"),
    }
    untrusted = [
        {
            "method": HOSTILE,
            "dataset": "cifar100",
            "accuracies": [0.3, 0.31, 0.32],
            "confusion": matrix(100, correct=93, others=207),
            "checks": [Finding("error", text=HOSTILE)],
            **mean,
        },
        {
            "method": HOSTILE,
            "dataset": "tiny-imagenet",
            "accuracies": [0.1, 0.12, 0.14],
            "confusion": matrix(200, correct=18, others=132),
            **mean,
        },
        {
            "method": "broken",
            "dataset": "cifar100",
            "accuracies": [],
            "status": "error",
            "message": HOSTILE,
            "comparable": False,
            "images_sha256": None,
            **mean,
        },
        {"method": "single", "dataset": "cifar100", "accuracies": [0.2], **mean},
    ]
    for number, values in enumerate(untrusted):
        save(runs, record(**{"images_sha256": str(number), **values}), f"team-{number}")
    return runs


@pytest.fixture(scope="module")
def pages(runs):
    """Return the folder of pages that `ddbench leaderboard` writes."""
    output = runs.parent / "board"
    done = subprocess.run(
        [COMMAND, "leaderboard", "--runs", runs, "--format", "html", "--output", output],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{output / 'index.html'}\n", "")
    return output
