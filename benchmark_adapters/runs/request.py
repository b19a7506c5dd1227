"""What the user asked for, checked before anything begins."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_adapters import datasets
from benchmark_adapters.execution import devices
from benchmark_adapters.plugins import Host
from benchmark_adapters.types import Dataset, Method, Option, Recipe, Student, Track, UserError

DAY = 86_400.0
MOST_IPC = 1_000_000
MOST_SEED = 2**62
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


@dataclass(frozen=True)
class Request:
    """What the user asked for, by name; None: as the track says. For `entry`, ``method`` is any name.

    ``ipc`` is a number, or ``max``. ``options`` are ``KEY=VALUE`` texts. ``shard`` is ``I/N``, I from 0.
    """

    method: str
    track: str = "quickstart"
    dataset: str | None = None
    ipc: int | str | None = None
    seed: int = 0
    time_limit: float | None = None
    repeats: int | None = None
    students: Sequence[str] = ()
    device: str = "auto"
    options: Sequence[str] = ()
    processes: int = 1
    shard: str | None = None
    recipe: str | None = None
    data: Path | None = None
    runs: Path = Path("runs")


@dataclass(frozen=True)
class Plan:
    """A request for one dataset, checked and complete.

    ``joined``: the number of shards that the set is put together from. ``limit_enforced``: the harness was there when the set was made.
    ``inherited``: why the run that made the set was not comparable. ``first_seed``: of the evaluation, where it isn't ``seed``.
    """

    method: Method
    track: Track
    dataset: Dataset
    recipe: Recipe
    students: tuple[Student, ...]
    ipc: int | None
    seed: int
    time_limit: float
    repeats: int
    device: str
    options: Mapping[str, Any]
    given: tuple[str, ...]
    data: Path | None
    runs: Path
    processes: int = 1
    shard: tuple[int, int] = (0, 1)
    joined: int = 1
    limit_enforced: bool = True
    inherited: tuple[str, ...] = ()
    first_seed: int | None = None

    @property
    def seeds(self) -> list[int]:
        first = self.seed if self.first_seed is None else self.first_seed
        return [first + repeat for repeat in range(self.repeats)]


def plan(request: Request, host: Host) -> list[Plan]:
    """One plan for each dataset of the request.

    Raises:
        UserError: a name is unknown, a value makes no sense, or a dataset or the device is not here.
    """
    return _plans(request, host, host.get("methods", request.method))


def entry(request: Request, host: Host) -> list[Plan]:
    """As `plan`, for sets that exist already and are only scored."""
    return [
        replace(todo, ipc=None, limit_enforced=False)
        for todo in _plans(request, host, Method(request.method, lambda task, budget: iter(())))
    ]


def _plans(request: Request, host: Host, method: Method) -> list[Plan]:
    track: Track = host.get("tracks", request.track)
    recipe: Recipe = host.get("recipes", request.recipe or track.recipe)
    if (
        request.dataset is not None
        and host.get("datasets", request.dataset).name not in track.datasets
    ):
        raise UserError(
            f"track {track.name} has no dataset {request.dataset}; it has: {', '.join(track.datasets)}"
        )
    limit = track.time_limit if request.time_limit is None else request.time_limit
    if not (math.isfinite(limit) and 0 < limit <= DAY):
        raise UserError(f"--time-limit {limit:g}: expected more than 0 and at most {DAY:g} seconds")
    if not 0 <= request.seed <= MOST_SEED:
        raise UserError(f"--seed {request.seed}: expected 0 to {MOST_SEED}")
    shard = _shard(request, method)
    repeats = 0 if shard[1] > 1 else track.repeats if request.repeats is None else request.repeats
    if not 0 <= repeats <= 1000:
        raise UserError(f"--repeats {repeats}: expected 0 to 1000")
    students = tuple(
        host.get("students", student)
        for student in dict.fromkeys(request.students) or (recipe.student,)
    )
    options = parse_options(method, request.options)
    if request.device not in ("auto", "cpu"):
        devices.resolve(request.device)
    devices.environments(request.device, request.processes)
    names = (request.dataset,) if request.dataset else track.datasets
    if not track.bundled_data:  # better now than after the first dataset's ten minutes
        for name in names:
            datasets.find(host.get("datasets", name), request.data)
    return [
        Plan(
            method=method,
            track=track,
            dataset=host.get("datasets", name),
            recipe=recipe,
            students=students,
            ipc=_ipc(request.ipc, track),
            seed=request.seed,
            time_limit=limit,
            repeats=repeats,
            device=request.device,
            options=options,
            given=tuple(request.options),
            data=request.data,
            runs=request.runs,
            processes=request.processes,
            shard=shard,
        )
        for name in names
    ]


def _shard(request: Request, method: Method) -> tuple[int, int]:
    """Which of how many shards; the only one where none was asked for."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", request.shard or "0/1")
    if not found or not int(found[1]) < int(found[2]):
        raise UserError(
            f"--shard {request.shard}: expected I/N with I from 0 to N - 1, for example 0/4"
        )
    if not 1 <= request.processes <= 1024:
        raise UserError(f"--processes {request.processes}: expected 1 to 1024")
    shard = int(found[1]), int(found[2])
    if (shard[1] > 1 or request.processes > 1) and not method.divisible:
        raise UserError(
            f"{method.name} can't be divided among processes or shards; run it without --processes and --shard"
        )
    return shard


def parse_options(method: Method, texts: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts as values of the method's options, defaults filled in.

    Raises:
        UserError: an unknown option, a value of the wrong type or none of its choices.
    """
    known = {option.name: option for option in method.options}
    values = {option.name: option.default for option in method.options}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option {text}: expected KEY=VALUE")
        if name not in known:
            raise UserError(
                f"--option {text}: {method.name} has no option {name!r}; it has: {', '.join(known) or 'none'}"
            )
        values[name] = _value(known[name], value, text)
    return values


def _value(option: Option, value: str, text: str) -> Any:
    if option.choices and value not in option.choices:
        raise UserError(f"--option {text}: expected one of {', '.join(option.choices)}")
    if option.type is bool:
        if value.lower() not in _BOOLEANS:
            raise UserError(f"--option {text}: expected true or false")
        return _BOOLEANS[value.lower()]
    try:
        result = option.type(value)
    except ValueError:
        raise UserError(f"--option {text}: expected {option.type.__name__}") from None
    try:
        if option.check:
            option.check(result)
    except ValueError as error:
        raise UserError(f"--option {text}: {error}") from None
    if isinstance(result, float) and not math.isfinite(result):
        raise UserError(f"--option {text}: expected a finite number")
    return result


def _ipc(asked: int | str | None, track: Track) -> int | None:
    """Images per class; None: as many as fit."""
    if asked is None:
        return track.default_ipc
    if asked == "max":
        return None
    try:
        number = int(asked)
    except ValueError:
        number = 0
    if not 1 <= number <= MOST_IPC:
        raise UserError(f"--ipc {asked}: expected a number from 1 to {MOST_IPC}, or max")
    return number
