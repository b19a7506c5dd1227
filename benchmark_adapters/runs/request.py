"""Validate a user's request and turn it into plans, before anything runs."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from benchmark_adapters import datasets, method_files, own_data, reporting, track_files
from benchmark_adapters.execution import devices, isolation
from benchmark_adapters.execution.sandbox import Limits, memory_bytes
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs import option_values
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.types import (
    Dataset,
    Method,
    Notice,
    Recipe,
    Student,
    Track,
    UserError,
)

DAY = 86_400.0
MAX_IPC = 1_000_000
MAX_SEED = 2**62
MAX_REPEATS = 1000
MAX_PROCESSES = MAX_THREADS = MAX_SHARDS = 1024

DEVICES = ("auto", "cpu", "cuda", "mps")
BACKENDS: tuple[Backend, ...] = get_args(Backend)


@dataclass(frozen=True)
class Request:
    """The user's request, not yet validated. None stands for the track's default.

    Attributes:
        ipc: a number, or ``max``.
        seed: random seed for sampling; evaluation uses seed, seed + 1, ...
        options: ``KEY=VALUE`` texts.
        shard: ``I/N``, with I from 0.
        shards: number of shards that a sweep makes and joins; 1: the set is made in one go.
        limits: limits of the processes that decode and score the set.
        memory_limit: GiB that the processes of the method may use together.
        isolate: whether to isolate the processes that read untrusted files, and those of the
            method: ``on``; the former where that works: ``auto``; none: ``off``.
        threads: CPU threads of the process that trains students; None: all cores.
    """

    method: str = ""
    track: str = "quickstart"
    dataset: str | None = None
    ipc: int | str | None = None
    seed: int = 0
    time_limit: float | None = None
    repeats: int | None = None
    students: Sequence[str] = ()
    device: str = "auto"
    backend: Backend = "auto"
    options: Sequence[str] = ()
    processes: int = 1
    shard: str | None = None
    shards: int = 1
    recipe: str | None = None
    data: Path | None = None
    runs: Path = Path("runs")
    limits: Limits = field(default_factory=Limits)
    memory_limit: float | None = None
    isolate: isolation.Mode = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class ScoringPlan:
    """How to score a set of one dataset, and where to store its run.

    Attributes:
        seeds: one seed per repeat; empty: the set is not scored.
        follows_track: whether the track decides how many seeds there are. It may depend on the IPC.
        request: the request for this dataset alone, with which an interrupted run is resumed.
    """

    track: Track
    dataset: Dataset
    recipe: Recipe
    students: tuple[Student, ...]
    seeds: tuple[int, ...]
    device: str
    backend: Backend
    data: Path | None
    runs: Path
    limits: Limits = field(default_factory=Limits)
    follows_track: bool = False
    request: Request = field(default_factory=Request)

    def for_ipc(self, ipc: int) -> ScoringPlan:
        """Return the plan for a set with ``ipc`` images per class."""
        if not self.follows_track or not self.seeds:
            return self
        first = self.seeds[0]
        return replace(self, seeds=tuple(range(first, first + self.track.repeats_at(ipc))))


@dataclass(frozen=True)
class SamplingPlan:
    """How the processes of a method generate a set of one dataset.

    Attributes:
        ipc: images per class; None: as many as possible.
        options: all options of the method, including defaults.
        explicit_options: the options that the user gave, as ``KEY=VALUE`` texts.
        shard: index of this machine's part of the set, from 0, and the number of parts.
        memory: bytes that the processes may use together; None: three quarters of the machine's.
        is_isolated: whether to isolate the processes.
    """

    track: Track
    dataset: Dataset
    method: Method
    ipc: int | None
    seed: int
    time_limit: float
    device: str
    options: Mapping[str, Any]
    explicit_options: tuple[str, ...]
    data: Path | None
    processes: int = 1
    shard: tuple[int, int] = (0, 1)
    memory: int | None = None
    is_isolated: bool = False


@dataclass(frozen=True)
class RunPlan:
    """How to generate a set, and how to score it."""

    sampling: SamplingPlan
    scoring: ScoringPlan


def plan_runs(request: Request, plugins: Plugins) -> list[RunPlan]:
    """Return a plan for each dataset of the request.

    Raises:
        UserError: a name is unknown, a value is not allowed, or a dataset or the device is not
            available.
    """
    method = method_files.find(plugins, request.method)
    track = track_files.find(plugins, request.track)
    shard = _shard(request)
    options = option_values.parse(method, request.options)
    ipc, limit = _ipc(request.ipc, track), _time_limit(request, track)
    _require_divisible(request, method, options, ipc, limit)
    devices.environments(request.device, request.processes)
    memory = memory_bytes("--memory-limit", request.memory_limit)
    return [
        RunPlan(
            SamplingPlan(
                track=track,
                dataset=scoring.dataset,
                method=method,
                ipc=ipc,
                seed=request.seed,
                time_limit=limit,
                device=request.device,
                options=options,
                explicit_options=tuple(request.options),
                data=request.data,
                processes=request.processes,
                shard=shard,
                memory=memory,
                is_isolated=request.isolate == "on",
            ),
            scoring,
        )
        for scoring in plan_scoring(request, plugins, is_shard=shard[1] > 1)
    ]


def plan_scoring(request: Request, plugins: Plugins, is_shard: bool = False) -> list[ScoringPlan]:
    """Return a plan to score a set for each dataset of the request.

    A shard is not scored, so its plan has no seeds.

    Raises:
        UserError: a name is unknown, a value is not allowed, a dataset or the device is not
            available, or processes can't be isolated.
    """
    isolation.check(request.isolate)
    track = track_files.find(plugins, request.track)
    recipe = plugins.recipes.require(request.recipe or track.recipe)
    names = request.students or (track.student or recipe.student,)
    students = tuple(plugins.students.require(name) for name in dict.fromkeys(names))
    if request.device not in DEVICES:
        raise UserError(f"--device {request.device}: expected one of {', '.join(DEVICES)}")
    if request.device not in ("auto", "cpu"):
        devices.resolve(request.device)
    if request.backend not in BACKENDS:
        raise UserError(f"--backend {request.backend}: expected one of {', '.join(BACKENDS)}")
    if request.threads is not None and not 1 <= request.threads <= MAX_THREADS:
        raise UserError(f"--threads {request.threads}: expected 1 to {MAX_THREADS}")
    seeds = _seeds(request, track)
    return [
        ScoringPlan(
            track=track,
            dataset=dataset,
            recipe=recipe,
            students=students,
            seeds=() if is_shard else seeds,
            device=request.device,
            backend=request.backend,
            data=request.data,
            runs=request.runs,
            limits=replace(request.limits, isolate=request.isolate),
            follows_track=request.repeats is None,
            request=replace(request, dataset=name),
        )
        for name, dataset in _datasets(request, track, plugins).items()
    ]


def _datasets(request: Request, track: Track, plugins: Plugins) -> dict[str, Dataset]:
    """Return the requested datasets, whose files are available, by the texts that name them."""
    names = (request.dataset,) if request.dataset else track.datasets
    found = {name: track_files.find_dataset(plugins, track, name) for name in names}
    for dataset in found.values():
        # A folder of one's own may be used with the rules of any track.
        if dataset.name not in track.datasets and not dataset.folder:
            known = ", ".join(track.datasets)
            raise UserError(f"track {track.name} has no dataset {dataset.name}; it has: {known}")
    # A missing dataset is reported now, not after ten minutes spent on the first one.
    for dataset in found.values():
        if not track.bundled_data:
            folder = datasets.find(dataset, request.data)
            datasets.require_complete(dataset, folder, "test")
            reporting.detail(f"{dataset.name}: {folder}")
            _notice(datasets.overlooked(dataset, request.data, folder))
            _notice(datasets.lacking(dataset, folder, "train"))
        elif request.data and not dataset.folder:
            _notice(f"track {track.name} has images of its own; --data {request.data} is not used")
    return found


def _notice(text: str) -> None:
    if text:
        warnings.warn(text, Notice, stacklevel=2)


def _seeds(request: Request, track: Track) -> tuple[int, ...]:
    if not 0 <= request.seed <= MAX_SEED:
        raise UserError(f"--seed {request.seed}: expected 0 to {MAX_SEED}")
    repeats = track.repeats if request.repeats is None else request.repeats
    if not 0 <= repeats <= MAX_REPEATS:
        raise UserError(f"--repeats {repeats}: expected 0 to {MAX_REPEATS}")
    return tuple(range(request.seed, request.seed + repeats))


def _time_limit(request: Request, track: Track) -> float:
    limit = track.time_limit if request.time_limit is None else request.time_limit
    if not (math.isfinite(limit) and 0 < limit <= DAY):
        raise UserError(f"--time-limit {limit:g}: expected more than 0 and at most {DAY:g} seconds")
    return limit


def _shard(request: Request) -> tuple[int, int]:
    """Return the index of the requested shard and the number of shards; by default, (0, 1)."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", request.shard or "0/1")
    if not match or not int(match[1]) < int(match[2]):
        raise UserError(
            f"--shard {request.shard}: expected I/N with I from 0 to N - 1, for example 0/4"
        )
    if not 1 <= request.processes <= MAX_PROCESSES:
        raise UserError(f"--processes {request.processes}: expected 1 to {MAX_PROCESSES}")
    if not 1 <= request.shards <= MAX_SHARDS:
        raise UserError(f"--shards {request.shards}: expected 1 to {MAX_SHARDS}")
    return int(match[1]), int(match[2])


def _require_divisible(
    request: Request, method: Method, options: Mapping[str, Any], ipc: int | None, limit: float
) -> None:
    """Raise `UserError` if the set is to have several parts, and can't."""
    has_shards = _shard(request)[1] > 1 or request.shards > 1
    if not has_shards and request.processes == 1:
        return
    of_own = {
        "method": bool(method.file),
        "dataset": own_data.is_reference(request.dataset or ""),
    }
    for kind, is_own in of_own.items():
        if has_shards and is_own:
            raise UserError(
                f"--shard needs an installed {kind}, because `ddbench merge` looks for it by its "
                f"name; make the {kind} a plugin, or use --processes"
            )
    if not method.divisible:
        raise UserError(
            f"{method.name} can't be divided among processes or shards; "
            "run it without --processes and --shard"
        )
    if method.obstacle and (problem := method.obstacle(options, ipc, limit)):
        raise UserError(problem)


def _ipc(ipc: int | str | None, track: Track) -> int | None:
    """Return the number of images per class; None: as many as possible."""
    if ipc is None:
        return track.default_ipc
    if ipc == "max":
        return None
    number = int(ipc) if re.fullmatch(r"\d{1,9}", str(ipc)) else 0
    if not 1 <= number <= MAX_IPC:
        raise UserError(f"--ipc {ipc}: expected a number from 1 to {MAX_IPC}, or max")
    return number
