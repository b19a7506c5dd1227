"""A run made again from its record: how, what is other here than it was then, and whether the same came out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_adapters import environment as provenance
from benchmark_adapters.execution.supervisor import Outcome
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Host
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs import submissions
from benchmark_adapters.runs.request import Plan, Request, entry, parse_options, plan
from benchmark_adapters.types import Dataset, Recipe, UserError
from leaderboard.records.record import Record

HARDWARE = (
    "system",
    "cpu",
    "cores",
)  # of what `provenance.hardware` says; how much memory there is decides no pixel
USED = (
    "device",
    "batch",
    "model",
    "model_sha256",
    "data_sha256",
)  # what only the new record tells of


@dataclass(frozen=True)
class Repetition:
    """A run that can be made again: ``make`` does it and returns the new folder; ``note`` says where it takes another way, if it does."""

    make: Callable[[], Path]
    note: str = ""


@dataclass(frozen=True)
class Seed:
    """A student's accuracy with one evaluation seed; None where a run has none."""

    student: str
    seed: int
    then: float | None
    now: float | None


@dataclass(frozen=True)
class Agreement:
    """What is the same in two records. ``accuracies`` is None where neither has any."""

    status: bool
    images: bool
    accuracies: bool | None

    @property
    def whole(self) -> bool:
        return self.status and self.images and self.accuracies is not False


def prepare(folder: Path, record: Record, request: Request, host: Host) -> Repetition:
    """How the run in ``folder`` is made again. Of ``request`` count options, device, data and runs.

    A set that was only scored is scored again. Where as many images were made as fitted, as many are asked for: rounds hold the classes in turn,
    so they are the same images, under the same limit and so as comparable.

    Raises:
        UserError: it was joined from shards, its recipe is another one here, or as `plan.plan` and `submissions.of_run`.
    """
    recipe: Recipe = host.get("recipes", record.recipe)
    if recipe.sha256 != record.recipe_sha256:
        raise UserError(
            f"recipe {recipe.name} is not the run's: its sha256 is {recipe.sha256[:12]}, the record's {record.recipe_sha256[:12]}"
        )
    asked = replace(
        request,
        method=record.method,
        track=record.track,
        dataset=record.dataset,
        recipe=record.recipe,
        seed=record.seed,
        repeats=record.repeats,
        students=(record.student, *record.other_students),
    )
    if _was_scored(record):
        return _scoring(folder, asked, host)
    if shards := _shards(record):
        raise UserError(
            f"{folder} was joined from shards; make each again by `ddbench rerun` and join those by `ddbench merge`: {' '.join(shards)}"
        )
    return _sampling(record, asked, host)


def device_of(record: Record) -> str:
    """The device that a run asks for to be repeated."""
    name = (
        (_scored_on(record).get("device") if _was_scored(record) else None) or record.device or ""
    )
    kind = str(name).split(":")[0]
    return kind if kind in ("cpu", "cuda", "mps") else "auto"


def surroundings(record: Record) -> list[str]:
    """What is other here than where the run was made, a line for each: versions, hardware, commit, threads."""
    then, here = record.versions | record.hardware, provenance.versions() | provenance.hardware()
    names = [*record.versions, *(name for name in HARDWARE if name in record.hardware)]
    return _changes(then, here, names, "here") + _commits(record) + _threads(record)


def used(record: Record, new: Record) -> list[str]:
    """What the new run used that the old one did not, a line for each."""
    then, now = (
        {**{name: getattr(one, name) for name in USED}, "gpu": one.hardware.get("gpu")}
        for one in (record, new)
    )
    return _changes(then, now, [name for name in then if then[name] is not None], "now")


def compare(record: Record, new: Record) -> Agreement:
    scored = [(one.seeds, one.accuracies, one.other_students) for one in (record, new)]
    accuracies = scored[0] == scored[1] if record.accuracies or new.accuracies else None
    return Agreement(
        record.status == new.status, record.images_sha256 == new.images_sha256, accuracies
    )


def seeds(record: Record, new: Record) -> list[Seed]:
    """The accuracies of both, seed by seed."""
    then, now = (_by_seed(one) for one in (record, new))
    return [
        Seed(student, seed, then.get((student, seed)), now.get((student, seed)))
        for student, seed in dict.fromkeys([*then, *now])
    ]


def pixels(old: Path, new: Path, dataset: Dataset) -> str:
    """By how much the images in the folders of two runs differ, where both are there and as many; else nothing."""
    import numpy as np

    try:
        first, second = (native.read(folder, dataset).images for folder in (old, new))
    except UserError:
        return ""
    if first.shape != second.shape or first.dtype != np.uint8:
        return ""
    apart = [
        int(abs(one.astype(np.int16) - other).max())
        for one, other in zip(first, second, strict=True)
    ]
    return f"{sum(map(bool, apart)):,} of {len(apart):,} images, by at most {max(apart)} of 255"


def _sampling(record: Record, asked: Request, host: Host) -> Repetition:
    shards = int(record.shard.split("/")[1]) if record.shard else 1
    as_fit = record.ipc * shards if record.ipc_asked is None else 0
    options = {
        text.partition("=")[0]: text for text in (*record.explicit_options, *asked.options)
    }  # what is given now wins
    (todo,) = plan(
        replace(
            asked,
            ipc=record.ipc_asked or as_fit or "max",
            time_limit=record.seconds.limit,
            options=tuple(options.values()),
            processes=record.processes,
            shard=record.shard,
        ),
        host,
    )
    decided = _decided(record, todo) if asked.device == device_of(record) else {}
    note = (
        f"asking for {as_fit} images per class: as many as fitted into the limit then, by the machine's speed; fewer now are a timeout"
        if as_fit
        else ""
    )
    return Repetition(
        lambda: harness.complete(
            todo,
            lambda place: _made(
                replace(todo, options={**todo.options, **decided}), place, record.run_id
            ),
        ),
        note,
    )


def _decided(record: Record, todo: Plan) -> dict[str, Any]:
    """Options that were left to the method, which decides by trying and by the clock, as it decided: its batch, and those whose default is ``auto``.

    The new record doesn't count them as given, so that its run is called what the old one is, and shards can still be joined.
    """
    given = {text.partition("=")[0] for text in todo.given}
    found = {}
    for option in todo.method.options:
        said = (
            record.batch
            if option.name == "batch"
            else record.metadata.get(option.name)
            if option.default == "auto"
            else None
        )
        if (
            option.name not in given
            and isinstance(said, option.type)
            and (not option.choices or said in option.choices)
        ):
            parse_options(todo.method, [f"{option.name}={said}"])
            found[option.name] = said
    return found


def _made(todo: Plan, folder: Path, repeated: str) -> Outcome:
    outcome = harness.sampled(todo, folder)
    outcome.facts["repeats_run"] = repeated
    return outcome


def _scoring(folder: Path, asked: Request, host: Host) -> Repetition:
    if asked.options:
        raise UserError(
            f"{folder} was only scored, and no method is asked for its images again; leave out --option"
        )
    one = submissions.of_run(folder)
    entry(asked, host)  # what is wrong with it is said before anything begins

    def make() -> Path:
        (made,) = submissions.score(one, asked, host, submissions.Limits())
        return made

    return Repetition(
        make, "the images are read from the run's folder and scored again, not made again"
    )


def _was_scored(record: Record) -> bool:
    """Whether `ddbench score` made it, of files or of a run."""
    return record.origin.kind in ("run", "file")


def _shards(record: Record) -> list[str]:
    """The ids of the runs whose sets were joined to this one."""
    return [shard.run_id for shard in record.origin.shards]


def _scored_on(record: Record) -> Mapping[str, Any]:
    return vars(record.scoring) if record.scoring else {}


def _by_seed(record: Record) -> dict[tuple[str, int], float]:
    every = {record.student: record.accuracies, **record.other_students}
    first = (record.seeds or [record.seed])[0]
    return {
        (student, seed): accuracy
        for student, found in every.items()
        for seed, accuracy in zip(itertools.count(first), found, strict=False)
    }


def _changes(
    then: Mapping[str, Any], now: Mapping[str, Any], names: list[str], when: str
) -> list[str]:
    return [
        f"{name}: {then[name]} then, {now.get(name) or 'none'} {when}"
        for name in names
        if then[name] != now.get(name)
    ]


def _commits(record: Record) -> list[str]:
    """Changes that are not committed may be any."""
    commit, dirty = provenance.commit()
    if not (commit and record.commit) or (
        commit == record.commit and not dirty and not record.dirty
    ):
        return []
    then, here = (
        f"{name[:12]}{' with changes' if changed else ''}"
        for name, changed in ((record.commit, record.dirty), (commit, dirty))
    )
    return [f"commit: {then} then, {here} here"]


def _threads(record: Record) -> list[str]:
    """Several threads sum in another order than one, so that the last digits differ, and training magnifies that."""
    made = record.threads if record.processes == 1 and not _was_scored(record) else None
    then = _scored_on(record).get("threads") or made
    if then is None or device_of(record) != "cpu":
        return []
    import torch

    here = torch.get_num_threads()
    return (
        []
        if then == here
        else [
            f"threads: {then} then, {here} here, which round differently; with OMP_NUM_THREADS={then} in the environment they don't"
        ]
    )
