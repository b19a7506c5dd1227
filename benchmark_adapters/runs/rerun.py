"""Make a run again from its record, and compare what came out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_adapters import environment
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs import pipeline, submissions
from benchmark_adapters.runs.request import (
    BACKENDS,
    Request,
    SamplingPlan,
    parse_options,
    plan_runs,
    plan_scoring,
)
from benchmark_adapters.runs.sources.method import MethodSource
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.types import Dataset, UserError
from leaderboard.records.record import Record
from leaderboard.text import plural

# Of `environment.hardware`; how much memory there is decides no pixel.
HARDWARE = ("system", "cpu", "cores")


@dataclass(frozen=True)
class RerunPlan:
    """A run that can be made again.

    Attributes:
        make: does it and returns the new folder.
        note: in what way it differs from the first time, if it does.
    """

    make: Callable[[], Path]
    note: str = ""


@dataclass(frozen=True)
class SeedPair:
    """A student's accuracies with one evaluation seed; None where a run has none."""

    student: str
    seed: int
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Agreement:
    """What is equal in two records. ``accuracies`` is None where neither has any."""

    status: bool
    images: bool
    accuracies: bool | None

    @property
    def is_whole(self) -> bool:
        return self.status and self.images and self.accuracies is not False


def prepare(folder: Path, record: Record, request: Request, plugins: Plugins) -> RerunPlan:
    """Plan to make the run in ``folder`` again.

    Of ``request`` options, device, data and runs count. A set that was only scored is scored
    again. If as many images were made as fitted, as many are asked for: batches go over the
    classes in turn, so they are the same images, under the same limit.

    Raises:
        UserError: it was joined from shards, its recipe is another one here, or as
            `request.plan_runs` and `submissions.of_run`.
    """
    recipe = plugins.recipes.require(record.recipe)
    if recipe.sha256 != record.recipe_sha256:
        raise UserError(
            f"recipe {recipe.name} is not the run's: its sha256 is {recipe.sha256[:12]}, "
            f"the record's {record.recipe_sha256[:12]}"
        )
    request = replace(
        request,
        method=record.method,
        track=record.track,
        dataset=record.dataset,
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
            f"{folder} was joined from shards; make each again by `ddbench rerun` "
            f"and join those by `ddbench merge`: {shards}"
        )
    return _sampling(record, request, plugins)


def device_of(record: Record) -> str:
    """Return the device that a run asks for to be repeated."""
    scored_on = record.scoring.device if record.scoring and _was_scored(record) else None
    kind = (scored_on or record.device or "").split(":")[0]
    return kind if kind in ("cpu", "cuda", "mps") else "auto"


def _backend(record: Record) -> Backend:
    requested = record.scoring.requested if record.scoring else None
    return next((backend for backend in BACKENDS if backend == requested), "auto")


def environment_diff(record: Record) -> list[str]:
    """Return a line for each difference between here and where the run was made."""
    before = record.versions | record.hardware
    here = environment.versions() | environment.hardware()
    names = [*record.versions, *(name for name in HARDWARE if name in record.hardware)]
    return _changes(before, here, names, "here") + _commits(record) + _threads(record)


def runtime_diff(record: Record, new: Record) -> list[str]:
    """Return a line for each difference in what the runs used, which only the new one tells."""
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
    """Compare two records."""
    scores = [(one.seeds, one.accuracies, one.other_students) for one in (record, new)]
    has_any = record.accuracies or new.accuracies
    return Agreement(
        record.status == new.status,
        record.images_sha256 == new.images_sha256,
        scores[0] == scores[1] if has_any else None,
    )


def seed_pairs(record: Record, new: Record) -> list[SeedPair]:
    """Return the accuracies of both, seed by seed."""
    before, after = _by_seed(record), _by_seed(new)
    return [
        SeedPair(student, seed, before.get((student, seed)), after.get((student, seed)))
        for student, seed in dict.fromkeys([*before, *after])
    ]


def pixel_difference(old: Path, new: Path, dataset: Dataset) -> str:
    """Say by how much the images of two runs differ; empty if they can't be compared."""
    import numpy as np

    try:
        first, second = (native.load(folder, dataset).images for folder in (old, new))
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
    return f"{count:,} of {images}, by at most {max(largest)} of 255"


def _sampling(record: Record, request: Request, plugins: Plugins) -> RerunPlan:
    shards = int(record.shard.split("/")[1]) if record.shard else 1
    fitted = record.ipc * shards if record.ipc_asked is None else 0
    # What is given now wins.
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
        f"asking for {fitted} {plural(fitted, 'image')} per class: as many as fitted into the "
        "limit before, "
        "which depends on the machine's speed; fewer now are a timeout"
    )
    source = MethodSource(plan.sampling, record.run_id, decided)
    return RerunPlan(lambda: pipeline.complete(plan.scoring, source), note if fitted else "")


def _decided(record: Record, plan: SamplingPlan) -> dict[str, Any]:
    """Return the options that the method decided by trying and by the clock, as it decided.

    These are its batch, and those whose default is ``auto``. They don't count as given, so that
    the new run is called what the old one is, and shards can still be joined.
    """
    given = {text.partition("=")[0] for text in plan.explicit_options}
    decided: dict[str, Any] = {}
    for option in plan.method.options:
        value: Any
        if option.name == "batch":
            value = record.batch
        elif option.default == "auto":
            value = record.metadata.get(option.name)
        else:
            continue
        is_choice = not option.choices or value in option.choices
        if option.name not in given and isinstance(value, option.type) and is_choice:
            parse_options(plan.method, [f"{option.name}={value}"])
            decided[option.name] = value
    return decided


def _scoring(folder: Path, request: Request, plugins: Plugins) -> RerunPlan:
    if request.options:
        raise UserError(
            f"{folder} was only scored, and no method is asked for its images again; "
            "leave out --option"
        )
    submission = submissions.of_run(folder)
    plan_scoring(request, plugins)  # what is wrong with it is told before anything begins

    def make() -> Path:
        (folder,) = submissions.score(submission, request, plugins)
        return folder

    note = "the images are read from the run's folder and scored again, not made again"
    return RerunPlan(make, note)


def _was_scored(record: Record) -> bool:
    """Return whether `ddbench score` made it, from files or from a run."""
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
    """Compare commits; changes that are not committed may be any."""
    commit, has_changes = environment.commit()
    is_same = commit == record.commit and not has_changes and not record.dirty
    if not (commit and record.commit) or is_same:
        return []
    before, here = (
        f"{name[:12]}{' with changes' if changed else ''}"
        for name, changed in ((record.commit, record.dirty), (commit, has_changes))
    )
    return [f"commit: {before} then, {here} here"]


def _threads(record: Record) -> list[str]:
    """Compare threads: several sum in another order, and training magnifies the difference."""
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
        f"threads: {before} then, {here} here, which round differently; "
        f"with OMP_NUM_THREADS={before} in the environment they don't"
    ]
