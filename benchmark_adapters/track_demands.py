"""Tell the leaderboard what tracks demand, from their definitions and not from records of runs."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark_adapters import track_files
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.types import Dataset, Track
from leaderboard.analysis.demands import Demands, RealTest
from leaderboard.analysis.standing import Standing
from leaderboard.records.record import Record, TrackRules

# Test images of each class, by dataset.
PER_CLASS = {"fashion-mnist": 1000, "cifar10": 1000, "cifar100": 100, "tiny-imagenet": 50}
# What `datasets.digest` returns for the published test split, where somebody has computed it.
SHA256 = {"fashion-mnist": "9a494dc49efeb996f4076c469b31cd058152067b1594ba6ab85dd739fce3775e"}


def known(
    plugins: Plugins, runs: Iterable[Record | Standing], track: str | None = None
) -> dict[str, Demands]:
    """Return what each track demands whose rules are known, by its name.

    These are the installed tracks, and the track in a file. If nobody named the file of another
    track, but all of its records hold the same rules, these count.

    Args:
        plugins: the installed plugins.
        runs: all runs.
        track: the track that the user named; a file if it ends in ``.toml``.

    Raises:
        UserError: the file is wrong.
    """
    tracks = [*plugins.tracks.values()]
    if track and track.endswith(track_files.SUFFIX):
        tracks.append(track_files.find(plugins, track))
    defined = {one.name for one in tracks}
    recorded = [one for one in _recorded(runs) if one.name not in defined]
    return {
        one.name: demands
        for one in [*recorded, *tracks]
        if (demands := _demands(plugins, one, are_recorded=one.name not in defined))
    }


def _recorded(runs: Iterable[Record | Standing]) -> list[Track]:
    """Return each track whose records all hold the same rules."""
    by_track: dict[str, list[TrackRules | None]] = {}
    for run in runs:
        found = by_track.setdefault(run.track, [])
        # Two that differ are enough to know that they do.
        if len(found) < 2 and run.rules not in found:
            found.append(run.rules)
    return [
        _track(name, rules)
        for name, (rules, *others) in by_track.items()
        if rules is not None and not others
    ]


def _track(name: str, rules: TrackRules) -> Track:
    return Track(
        name=name,
        datasets=tuple(rules.datasets),
        time_limit=rules.time_limit,
        ipc=tuple(rules.ipc),
        default_ipc=rules.default_ipc,
        recipe=rules.recipe,
        repeats=rules.repeats,
        student=rules.student,
        real_data=rules.real_data,
        bundled_data=rules.bundled_data,
        devices=rules.devices,
        sha256=rules.sha256,
    )


def _demands(plugins: Plugins, track: Track, are_recorded: bool) -> Demands | None:
    """Return what a track demands; None: its recipe is not installed."""
    recipe = plugins.recipes.get(track.recipe)
    if recipe is None:
        return None
    return Demands(
        datasets={name: _real_test(plugins.datasets.get(name)) for name in track.datasets},
        time_limit=track.time_limit,
        ipc=track.ipc,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        student=track.student or recipe.student,
        repeats=track.repeats,
        ipc_repeats=dict(track.ipc_repeats),
        real_data=track.real_data,
        devices=track.devices,
        rules_sha256=track.sha256,
        are_recorded=are_recorded,
    )


def _real_test(dataset: Dataset | None) -> RealTest:
    """Return what is known about the test images of a dataset; None: one's own folder."""
    if dataset is None:
        return RealTest()
    return RealTest(
        images=dataset.test_size,
        classes=dataset.num_classes,
        per_class=PER_CLASS.get(dataset.name),
        sha256=SHA256.get(dataset.name),
    )
