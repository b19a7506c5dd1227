"""Records for tests of the leaderboard."""

import dataclasses

from leaderboard.analysis import sections as board
from leaderboard.analysis import stats
from leaderboard.records import store
from leaderboard.records.record import Record, Seconds
from leaderboard.render import tables as table


def record(**values):
    """A finished run; accuracies decide mean, interval and seeds."""
    accuracies = values.pop("accuracies", [0.70, 0.72, 0.74])
    mean, spread, interval = stats.summary(accuracies)
    basis = {
        "run_id": "20260101T000000Z-aaaaaa",
        "status": "ok",
        "message": "",
        "track": "quickstart",
        "dataset": "fashion-mnist",
        "method": "one",
        "options": {},
        "seed": 0,
        "recipe": "quickstart/1",
        "recipe_sha256": "r" * 64,
        "student": "convnet3",
        "created": "2026-01-01T00:00:00Z",
        "ipc": 20,
        "seeds": list(range(len(accuracies))),
        "accuracies": accuracies,
        "accuracy_mean": mean,
        "accuracy_std": spread,
        "accuracy_ci95": interval,
        "seconds": Seconds(load=5.0, generate=1.0, evaluate=30.0, limit=60.0),
        "images_sha256": values.get("run_id", "aaaaaa"),
        "comparable": True,
    }
    return Record(**{**basis, **values})


def rendered(records, style="github"):
    return table.render(board.sections(records, known=()), style)


def save(runs, one):
    with store.new_run(runs, one.track, one.dataset, one.method) as folder:
        one = dataclasses.replace(one, run_id=store.run_id(folder))
        (folder / "record.json").write_text(one.to_json())
    return store.final(folder)
