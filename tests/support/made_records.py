"""Records for tests of the leaderboard."""

import dataclasses

from leaderboard import stats
from leaderboard.analysis import comparison, sections
from leaderboard.analysis.board import held
from leaderboard.records import store
from leaderboard.records.record import (
    Copies,
    Finding,
    OfficialScore,
    Origin,
    Reason,
    Record,
    ScoringRuntime,
    Seconds,
    Session,
    ShardOrigin,
    TrackRules,
)
from leaderboard.render import tables

# An untrusted text that would run as a script, be set as a formula, or break a layout.
HOSTILE = (
    '<img src=x onerror="document.title=1"><script>document.title=2</script> $\\frac{x}$ & "q" '
    + 40 * "W"
)

PAIR = {"pair": ("cifar100", "tiny-imagenet")}


def record(**values):
    """Return the record of a finished run. Its accuracies determine mean, interval and seeds."""
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


def pair_record(dataset, run_id, method="one", **values):
    """Return the record of a run on a track with two datasets."""
    common = {"track": "pair", "ipc": 10, "category": "IPC 10"}
    return record(run_id=run_id, dataset=dataset, method=method, **common, **values)


TWO_DATASETS = [
    pair_record(
        "cifar100",
        "a-1",
        accuracies=[0.30, 0.31, 0.32],
        model="sdxl-turbo",
        images_per_second=120.04,
        hardware={"gpu": "A GPU", "gpus": 8},
    ),
    pair_record(
        "tiny-imagenet",
        "a-2",
        accuracies=[0.10, 0.12, 0.11],
        model="sdxl-turbo",
        images_per_second=99.9,
        hardware={"cpu": "A CPU", "cores": 2},
    ),
    pair_record(
        "cifar100",
        "b-1",
        method="two|<b>[x](y)",
        accuracies=[0.40, 0.41, 0.42],
        explicit_options=["preset=published"],
    ),
    pair_record(
        "tiny-imagenet",
        "b-2",
        method="two|<b>[x](y)",
        accuracies=[],
        status="error",
        comparable=False,
        message="it & broke",
        images_sha256=None,
    ),
    pair_record(
        "cifar100",
        "c-1",
        method="=late",
        accuracies=[0.2, 0.2, 0.2],
        status="timeout",
        comparable=False,
    ),
    pair_record(
        "cifar100",
        "d-1",
        method="Team 100% & $x_1$",
        limit_enforced=False,
        seconds=Seconds(evaluate=9.0, limit=600.0),
    ),
    record(
        run_id="e-1",
        track="quickstart",
        accuracies=[0.5],
        comparable=False,
        not_comparable_because=[
            Reason("repeats", "1 repeats instead of 3"),
            Reason("student", "student mlp"),
        ],
    ),
]

# Two runs that differ in an option and a version.
COMPARED = [
    record(run_id="a", options={"pda": "none", "size": 1}, confusion=[[8, 2], [5, 5]]),
    record(
        run_id="b",
        options={"pda": "default", "size": 1},
        accuracies=[0.8, 0.81, 0.82],
        confusion=[[9, 1], [2, 8]],
        versions={"torch": "3"},
    ),
]

# A run with all that a record can say beyond what the others say.
FULL = record(
    run_id="f-1",
    confusion=[[1, 2], [3, 4]],
    metadata={"images": "refined", "dataset_reference": "imagefolder:", "warnings": ["odd"]},
    not_comparable_because=[Reason("ipc", "IPC 3 instead of 20")],
    other_students={"mlp": [0.5, 0.6]},
    origin=Origin("shards", shards=[ShardOrigin("one", {"cores": 2}, {"torch": "2"})]),
    sessions=[Session("2026-01-01T00:00:00Z", "sampling", 4.0, 7)],
    scoring=ScoringRuntime("cpu", 2, "auto", {"convnet3": "fused"}, "no compiler"),
    rules=TrackRules("a1", ["fashion-mnist", "own"], 60.0, [1, 20], None, "quickstart/1", 3),
    checks=[Finding("warning", "classes", "odd")],
    copies=Copies(0.0, 0.25, 0.5, None),
    official=OfficialScore(["cifar100"], 0.5, 9.0),
    shard="1/2",
)


def built(records, **options):
    """Return the sections of ``records``."""
    with held(records) as (board, read):
        return sections.build(board, read, **options)


def rendered(records, style="github"):
    """Return the tables of ``records`` without published results."""
    return tables.render(built(records, published=()), style)


def compared(*runs):
    """Return the comparison of ``runs``, all with the same two classes."""
    return comparison.compare(runs, [["Bag", "Shirt"]] * len(runs))


def save(runs, unsaved, name=None):
    """Save a record as a new run and return its folder.

    ``name`` replaces the name of the method in the path.
    """
    with store.new_run(runs, unsaved.track, unsaved.dataset, name or unsaved.method) as folder:
        saved = dataclasses.replace(unsaved, run_id=store.run_id(folder))
        (folder / "record.json").write_text(saved.to_json())
    return store.final(folder)
