"""Rerun a run from its record, and compare the results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_adapters import environment, track_files
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs import inbox, option_values, pipeline, submissions
from benchmark_adapters.runs.request import (
    BACKENDS,
    Request,
    SamplingPlan,
    plan_runs,
    plan_scoring,
)
from benchmark_adapters.runs.sources.method import MethodSource
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.types import UserError, one_line
from leaderboard.records.record import Record
from leaderboard.text import plural

# Keys of `environment.hardware` to compare. Memory size is left out: it doesn't affect the images.
HARDWARE = ("system", "cpu", "cores")


@dataclass(frozen=True)
class RerunPlan:
    """A run that can be rerun.

    Attributes:
        make: reruns it and returns the new folder.
        note: how the rerun differs from the original run, if it does.
    """

    make: Callable[[], Path]
    note: str = ""


@dataclass(frozen=True)
class SeedPair:
    """A student's accuracies with one evaluation seed; None if a run has none."""

    student: str
    seed: int
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Agreement:
    """Which results are equal in two records. ``accuracies`` is None if neither has any."""

    status: bool
    images: bool
    accuracies: bool | None

    @property
    def is_whole(self) -> bool:
        return self.status and self.images and self.accuracies is not False


def prepare(
    folder: Path,
    record: Record,
    request: Request,
    plugins: Plugins,
    track_file: str | None = None,
) -> RerunPlan:
    """Plan to rerun the run in ``folder``.

    ``request`` provides only dataset, options, device, data and runs, and ``track_file`` is the
    track if it came from a file. A set that was only
    scored is scored again. If the run generated as many images as possible, the rerun requests
    their number under the same limit. Batches go over the classes in turn, so these are the same
    images.

    Raises:
        UserError: the run was merged from shards, its recipe has changed, a name is unknown, a
            value is not allowed, a dataset or the device is not available, or the images to score
            again can't be used.
    """
    if file := record.metadata.get("method_file"):
        raise UserError(
            f"the method of this run came from the file {one_line(file)}, and the record doesn't "
            "say where it is; run it again with --method FILE.py"
        )
    recipe = plugins.recipes.require(record.recipe)
    if recipe.sha256 != record.recipe_sha256:
        raise UserError(
            f"recipe {recipe.name} has changed since the run: its sha256 is {recipe.sha256[:12]}, "
            f"the record has {record.recipe_sha256[:12]}"
        )
    track = track_files.find(plugins, track_file or record.track)
    if (track.name, track.sha256) != (record.track, record.rules.sha256 if record.rules else ""):
        what = "has other rules now" if track.name == record.track else f"is not {track.name}"
        raise UserError(f"track {record.track} of the run {what}")
    dataset = track_files.find_dataset(plugins, track, request.dataset or record.dataset)
    if dataset.name != record.dataset:
        raise UserError(f"the run is on dataset {record.dataset}, not on {dataset.name}")
    request = replace(
        request,
        method=record.method,
        track=track_file or record.track,
        dataset=request.dataset or record.dataset,
        recipe=record.recipe,
        seed=record.seed,
        repeats=record.repeats,
        students=(record.student, *record.other_students),
        backend=_backend(record),
    )
    if _was_scored(record):
        return _scoring(folder, request, plugins)
    if record.origin.kind == "shards":
        shards = " ".join(shard.run_id for shard in record.origin.shards)
        raise UserError(
            f"{folder} was merged from shards; rerun each with `ddbench rerun` "
            f"and join the new ones with `ddbench merge`: {shards}"
        )
    return _sampling(record, request, plugins)


def device_of(record: Record) -> str:
    """Return the name of the device to use for a rerun."""
    scored_on = record.scoring.device if record.scoring and _was_scored(record) else None
    kind = (scored_on or record.device or "").split(":")[0]
    return kind if kind in ("cpu", "cuda", "mps") else "auto"


def _backend(record: Record) -> Backend:
    requested = record.scoring.requested if record.scoring else None
    return next((backend for backend in BACKENDS if backend == requested), "auto")


def environment_diff(record: Record) -> list[str]:
    """Return a line for each difference between this environment and that of the run."""
    before = record.versions | record.hardware
    here = environment.versions() | environment.hardware()
    names = [*record.versions, *(name for name in HARDWARE if name in record.hardware)]
    return _changes(before, here, names, "here") + _commits(record) + _threads(record)


def runtime_diff(record: Record, new: Record) -> list[str]:
    """Return a line for each difference that is known only after the rerun."""
    before, after = _runtime(record), _runtime(new)
    names = [name for name, value in before.items() if value is not None]
    return _changes(before, after, names, "now")


def _runtime(record: Record) -> dict[str, Any]:
    backends = record.scoring.backends if record.scoring else {}
    return {
        "device": record.device,
        "batch": record.batch,
        "model": record.model,
        "model_sha256": record.model_sha256,
        "data_sha256": record.data_sha256,
        "gpu": record.hardware.get("gpu"),
        "training backend": backends.get(record.student),
    }


def compare(record: Record, new: Record) -> Agreement:
    """Compare the results of two records."""
    scores = [(one.seeds, one.accuracies, one.other_students) for one in (record, new)]
    has_any = record.accuracies or new.accuracies
    return Agreement(
        record.status == new.status,
        record.images_sha256 == new.images_sha256,
        scores[0] == scores[1] if has_any else None,
    )


def seed_pairs(record: Record, new: Record) -> list[SeedPair]:
    """Return the accuracies of both records, paired by student and seed."""
    before, after = _by_seed(record), _by_seed(new)
    return [
        SeedPair(student, seed, before.get((student, seed)), after.get((student, seed)))
        for student, seed in dict.fromkeys([*before, *after])
    ]


def pixel_difference(old: Path, new: Path) -> str:
    """Describe how much the images of two runs differ; empty if they can't be compared."""
    import numpy as np

    try:
        first, second = (native.read_arrays(folder).images for folder in (old, new))
    except UserError:
        return ""
    if first.shape != second.shape or first.dtype != np.uint8:
        return ""
    largest = [
        int(abs(one.astype(np.int16) - other).max())
        for one, other in zip(first, second, strict=True)
    ]
    count = sum(map(bool, largest))
    images = f"{len(largest):,} {plural(len(largest), 'image')}"
    return f"{count:,} of {images} differ, by at most {max(largest)} of 255 levels"


def _sampling(record: Record, request: Request, plugins: Plugins) -> RerunPlan:
    shards = int(record.shard.split("/")[1]) if record.shard else 1
    fitted = record.ipc * shards if record.ipc_asked is None else 0
    # Options that are given now take precedence.
    texts = (*record.explicit_options, *request.options)
    options = {text.partition("=")[0]: text for text in texts}
    (plan,) = plan_runs(
        replace(
            request,
            ipc=record.ipc_asked or fitted or "max",
            time_limit=record.seconds.limit,
            options=tuple(options.values()),
            processes=record.processes,
            shard=record.shard,
        ),
        plugins,
    )
    is_same_device = request.device == device_of(record)
    decided = _decided(record, plan.sampling) if is_same_device else {}
    note = (
        f"requesting {fitted} {plural(fitted, 'image')} per class, as many as fitted into the "
        "time limit originally; if fewer fit now, the status is timeout"
    )
    notes = [note] if fitted else []
    if sum(session.stage == "sampling" for session in record.sessions) > 1:
        notes.append("its sampling was interrupted, so the rerun makes other images")
    source = MethodSource(plan.sampling, record.run_id, decided)
    return RerunPlan(lambda: pipeline.complete(plan.scoring, source), "; ".join(notes))


def _decided(record: Record, plan: SamplingPlan) -> dict[str, Any]:
    """Return the options that the method chose during the run, with the values it chose.

    These are the batch size, the options whose default is ``auto``, and those that the method
    reported as ``decided``. They don't count as explicit, so that the new run is labelled like the
    old one, and shards can still be merged.
    """
    reported = record.metadata.get("decided")
    reported = reported if isinstance(reported, dict) else {}
    given = {text.partition("=")[0] for text in plan.explicit_options}
    decided: dict[str, Any] = {}
    for option in plan.method.options:
        value: Any
        if option.name == "batch":
            value = record.batch
        elif option.name in reported:
            value = reported[option.name]
        elif option.default == "auto":
            value = record.metadata.get(option.name)
        else:
            continue
        is_choice = not option.choices or value in option.choices
        if option.name not in given and isinstance(value, option.type) and is_choice:
            option_values.parse(plan.method, [f"{option.name}={value}"])
            decided[option.name] = value
    return decided


def _scoring(folder: Path, request: Request, plugins: Plugins) -> RerunPlan:
    if request.options:
        raise UserError(
            f"{folder} was only scored, so the rerun does not run a method; leave out --option"
        )
    submission = inbox.of_run(folder)
    # Errors in the request are reported before anything runs.
    plan_scoring(request, plugins)

    def make() -> Path:
        (folder,) = submissions.score(submission, request, plugins)
        return folder

    note = "the images are read from the run's folder and scored again, not regenerated"
    return RerunPlan(make, note)


def _was_scored(record: Record) -> bool:
    """Return whether the run was made by `ddbench score`, from files or from a run."""
    return record.origin.kind in ("file", "run")


def _by_seed(record: Record) -> dict[tuple[str, int], float]:
    students = {record.student: record.accuracies, **record.other_students}
    first = (record.seeds or [record.seed])[0]
    return {
        (student, seed): accuracy
        for student, accuracies in students.items()
        for seed, accuracy in zip(itertools.count(first), accuracies, strict=False)
    }


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], names: list[str], when: str
) -> list[str]:
    return [
        f"{name}: {before[name]} then, {after.get(name) or 'none'} {when}"
        for name in names
        if before[name] != after.get(name)
    ]


def _commits(record: Record) -> list[str]:
    """Compare the commits. Uncommitted changes always count as a difference."""
    commit, has_changes = environment.commit()
    is_same = commit == record.commit and not has_changes and not record.dirty
    if not (commit and record.commit) or is_same:
        return []
    before, here = (
        f"{name[:12]}{' with uncommitted changes' if changed else ''}"
        for name, changed in ((record.commit, record.dirty), (commit, has_changes))
    )
    return [f"commit: {before} then, {here} here"]


def _threads(record: Record) -> list[str]:
    """Compare the numbers of threads.

    The number of threads changes the order of sums, and training magnifies the difference.
    """
    is_sampled = record.processes == 1 and not _was_scored(record)
    scored = record.scoring.threads if record.scoring else None
    before = scored or (record.threads if is_sampled else None)
    if before is None or device_of(record) != "cpu":
        return []
    import torch

    here = torch.get_num_threads()
    if before == here:
        return []
    return [
        f"threads: {before} then, {here} here, which changes the rounding; "
        f"set OMP_NUM_THREADS={before} to avoid this"
    ]
