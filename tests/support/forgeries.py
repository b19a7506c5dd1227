"""Forged records: an honest one, changed so that it would take a rank."""

import copy
import json
from pathlib import Path

from project import ROOT

from leaderboard import stats

HONEST = next((ROOT / "docs/runs/quickstart/fashion-mnist/random-real").glob("*/record.json"))


def honest():
    """Return the values of an honest record on the track quickstart: 3 seeds, 10,000 images."""
    return json.loads(HONEST.read_text())


TRUE = honest()


def scored(values, accuracies, confusion=None):
    """Return the record with other scores, whose summary fits them."""
    mean, spread, interval = stats.summary(accuracies)
    return {
        **values,
        "accuracies": accuracies,
        "accuracy_mean": mean,
        "accuracy_std": spread,
        "accuracy_ci95": interval,
        "seeds": list(range(len(accuracies))),
        "confusion": confusion or values["confusion"],
    }


def moved(values, *changes):
    """Return the record with (true class, predicted class, number) added to its matrix."""
    matrix = copy.deepcopy(values["confusion"])
    for true, predicted, number in changes:
        matrix[true][predicted] += number
    return {**values, "confusion": matrix}


def nested(values, name, **changes):
    return {**values, name: {**values[name], **changes}}


def save(runs: Path, values, method):
    """Save a record as the only run of a method in a runs folder, and return its file."""
    values = {**values, "method": method, "images_sha256": values.get("images_sha256") and method}
    return write(runs, values)


def write(runs: Path, values):
    """Save a record as it is, and return its file."""
    folder = runs / "any" / "any" / f"{len(list(runs.glob('*/*/*')))}" / values["run_id"]
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(values))
    return folder / "record.json"
