"""A runs folder with as many plausible records as wanted, for tests of large leaderboards."""

import os
from dataclasses import replace
from functools import cache

import numpy as np
from project import ROOT

from benchmark_adapters import tracks
from benchmark_adapters.plugins import build
from benchmark_adapters.track_demands import SHA256
from leaderboard import stats
from leaderboard.records import store
from leaderboard.records.record import Origin, Reason, Seconds

# Track, dataset, images per class, and how many of 1,000 runs have them.
SHARES = (
    ("quickstart", "fashion-mnist", 20, 260),
    ("fashion-mnist", "fashion-mnist", 1, 150),
    ("fashion-mnist", "fashion-mnist", 10, 250),
    ("fashion-mnist", "fashion-mnist", 50, 150),
    ("ddranking", "cifar10", 10, 165),
    ("eccv2024-fixed", "cifar100", 10, 20),
    ("eccv2024-fixed", "tiny-imagenet", 10, 5),
)
TEAMS, METHODS = 60, 40
# A file has at most 65,000 links on some file systems.
LINKS = 10_000


def write(runs, count, seed=0):
    """Save ``count`` runs of teams and methods in ``runs``, with confusion matrices.

    One in 50 failed, one in 100 has the images of another method, and each is a folder with a
    record, images and a preview.
    """
    source = np.random.default_rng(seed)
    basis = store.read(next(store.runs_in([ROOT / "docs" / "runs"])))
    shares = np.array([share for *_, share in SHARES]) / sum(share for *_, share in SHARES)
    choices = source.choice(len(SHARES), count, p=shares)
    for number, choice in enumerate(choices):
        record = _record(basis, *SHARES[choice][:3], number, source)
        folder = runs / record.track / record.dataset / record.method / record.run_id
        folder.mkdir(parents=True)
        (folder / store.RECORD).write_text(record.to_json())
        for name, size in (("images.safetensors", 20_000), ("grid.png", 5_000)):
            original = runs.parent / f"original-{number // LINKS}-{name}"
            if not original.exists():
                original.write_bytes(bytes(size))
            os.link(original, folder / name)


@cache
def _rules(track):
    rules = {one.name: one for one in tracks.TRACKS}[track]
    return rules, build().recipes[rules.recipe], build().datasets


def _record(basis, track, dataset, ipc, number, source):
    """Return a record that its track ranks, or one of a run that failed."""
    rules, recipe, datasets = _rules(track)
    is_team = number % 3 == 0
    name = f"team-{number % TEAMS}" if is_team else f"method-{number % METHODS}"
    seeds = dict(rules.ipc_repeats).get(ipc, rules.repeats)
    created = f"2026-{1 + number // 28 % 10:02}-{1 + number % 28:02}T12:00:{number % 60:02}Z"
    loaded, generated = source.uniform(1, 20), source.uniform(1, 30)
    record = replace(
        basis,
        run_id=f"{created[:10].replace('-', '')}T120000Z-{number:06x}",
        track=track,
        dataset=dataset,
        method=name,
        explicit_options=[] if is_team else [f"strength={number % 7}"],
        seed=number % 5,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        student=rules.student or recipe.student,
        created=created,
        ipc=ipc,
        ipc_asked=ipc,
        category=f"IPC {ipc}" if len(rules.ipc) > 1 else "",
        limit_enforced=not is_team,
        origin=Origin(kind="file", file="set.npz") if is_team else Origin(),
        seconds=Seconds(loaded, generated, 100.0, rules.time_limit),
        images_sha256=f"{number - (number % 100 == 1):064x}",
        data_sha256=SHA256.get(dataset, "d" * 64),
        sampled=0,
        generated_per_class=0.0,
        images_per_second=None,
        comparable=True,
        not_comparable_because=[],
    )
    if number % 50 == 7:
        return _failed(record)
    tested = datasets[dataset].test_size
    return _scored(record, seeds, datasets[dataset].num_classes, tested, source)


def _failed(record):
    unscored = {
        "seeds": [],
        "accuracies": [],
        "accuracy_mean": None,
        "accuracy_std": None,
        "accuracy_ci95": None,
    }
    return replace(
        record,
        **unscored,
        status="error",
        message="CUDA out of memory",
        failed_stage="sampling",
        confusion=None,
        images_sha256=None,
        comparable=False,
        not_comparable_because=[Reason("status", "status error")],
    )


def _scored(record, seeds, classes, tested, source):
    """Return the record with accuracies and a confusion matrix that agree."""
    base, spread = source.uniform(0.4, 0.9), source.uniform(0.001, 0.01)
    correct = np.clip(source.normal(base, spread, seeds), 0, 1) * tested // 1
    accuracies = [float(number / tested) for number in correct]
    mean, deviation, interval = stats.summary(accuracies)
    total, of_class = int(correct.sum()), seeds * tested // classes
    diagonal = np.full(classes, total // classes)
    diagonal[: total % classes] += 1
    others = np.full(classes - 1, 1 / (classes - 1))
    matrix = np.stack(
        [
            np.insert(source.multinomial(of_class - right, others), label, right)
            for label, right in enumerate(diagonal)
        ]
    )
    return replace(
        record,
        seeds=list(range(seeds)),
        repeats=seeds,
        accuracies=accuracies,
        accuracy_mean=mean,
        accuracy_std=deviation,
        accuracy_ci95=interval,
        confusion=matrix.tolist(),
    )
