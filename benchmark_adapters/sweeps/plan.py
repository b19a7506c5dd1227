"""The plan of a sweep: a TOML file or a command line, and the requests that it stands for."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from benchmark_adapters.execution import isolation
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs.request import Request, RunPlan, plan_runs
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.types import UserError, one_line
from leaderboard.text import plural

MAX_BYTES = 2**20
# A range that is longer than this is a typing error.
MAX_RANGE = 1000

Value = str | int | float | bool
Numbers = int | str | list[int | str]


class MethodKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A method and its options. An option with a list takes each of its values.

    Attributes:
        shards: as in `Plan`, for this method alone; None: those of the plan.
    """

    name: str
    option: dict[str, Value | list[Value]] = {}
    shards: int | None = None

    def choices(self) -> list[tuple[str, ...]]:
        """Return the options as ``KEY=VALUE`` texts, for each combination of their values."""
        lists = [_listed(values) for values in self.option.values()]
        return [
            tuple(f"{name}={_text(value)}" for name, value in zip(self.option, values, strict=True))
            for values in itertools.product(*lists)
        ]


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a plan, which are the options of ``ddbench run``.

    Those with several values stand for each combination of them. Numbers may be ranges, which
    include both ends: ``"0..4"``.

    Attributes:
        shards: number of parts in which each set is made, each on a machine of its own.
        threads: CPU threads that train one student; None: an equal share of the cores.
    """

    method: list[MethodKeys]
    track: str | list[str] = "quickstart"
    dataset: str | list[str] | None = None
    ipc: Numbers | None = None
    seed: Numbers = 0
    time_limit: float | None = None
    repeats: int | None = None
    students: str | list[str] = []
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    backend: Backend = "auto"
    processes: int = 1
    shards: int = 1
    memory_limit: float | None = None
    isolate: isolation.Mode = "auto"
    threads: int | None = None


def read(path: Path) -> Plan:
    """Return the plan in a TOML file.

    Raises:
        UserError: it can't be read, or a key is unknown or has a wrong value.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} has more than {MAX_BYTES} bytes")
        values = tomllib.loads(path.read_text("utf-8-sig"))
        return msgspec.convert(values, Plan, strict=True)
    except OSError as error:
        raise UserError(f"plan {path}: {error.strerror or error}") from None
    except msgspec.ValidationError as error:
        known = MethodKeys if ".method[" in str(error) else Plan
        keys = f"; keys are {', '.join(known.__struct_fields__)}"
        hint = keys if "unknown field" in str(error) else ""
        raise UserError(f"plan {path}: {one_line(error)}{hint}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"plan {path}: {one_line(error)}") from None


def requests(plan: Plan, shared: Request) -> list[Request]:
    """Return a request for each combination of values; the others are those of ``shared``.

    All methods come with the first seed before any comes with the second, so that a sweep that is
    stopped early has a whole table.

    Raises:
        UserError: a range or a number is wrong, or there is no method.
    """
    if not plan.method:
        raise UserError("the plan names no method")
    ipcs: Sequence[int | str | None] = [None]
    if plan.ipc is not None:
        ipcs = numbers("ipc", plan.ipc, word="max")
    seeds = [int(seed) for seed in numbers("seed", plan.seed)]
    places = itertools.product(seeds, _listed(plan.track), _listed(plan.dataset), ipcs)
    found = [
        replace(
            shared,
            method=method.name,
            options=options,
            track=track,
            dataset=dataset,
            ipc=ipc,
            seed=seed,
            time_limit=plan.time_limit,
            repeats=plan.repeats,
            students=tuple(_listed(plan.students)),
            device=plan.device,
            backend=plan.backend,
            processes=plan.processes,
            shards=plan.shards if method.shards is None else method.shards,
            memory_limit=plan.memory_limit,
            isolate=plan.isolate,
            threads=shared.threads if plan.threads is None else plan.threads,
        )
        for seed, track, dataset, ipc in places
        for method in plan.method
        for options in method.choices()
    ]
    return list(dict.fromkeys(found))


def runs(wanted: Sequence[Request], plugins: Plugins) -> list[RunPlan]:
    """Return a plan for each run: one for each request and each dataset of its track.

    Raises:
        UserError: a name is unknown, a value is not allowed, or a dataset or the device is not
            available.
    """
    return [plan for request in wanted for plan in plan_runs(request, plugins)]


def shards(plan: RunPlan) -> list[RunPlan]:
    """Return a plan for each shard of a set; none if the set is made in one go."""
    count = plan.scoring.request.shards
    if count == 1:
        return []
    return [
        RunPlan(
            replace(plan.sampling, shard=(number, count)),
            replace(
                plan.scoring,
                seeds=(),
                request=replace(plan.scoring.request, shard=f"{number}/{count}", shards=1),
            ),
        )
        for number in range(count)
    ]


def numbers(name: str, value: Numbers, word: str = "") -> list[int | str]:
    """Return the numbers in a value such as 3, ``"0..4"``, ``"1,10,50"`` or a list of these.

    A ``word`` may take the place of a number.

    Raises:
        UserError: it is something else.
    """
    texts = [text for one in _listed(value) for text in str(one).split(",")]
    return list(dict.fromkeys(number for text in texts for number in _range(name, text, word)))


def _range(name: str, text: str, word: str) -> Iterator[int | str]:
    text = text.strip()
    match = re.fullmatch(r"(\d{1,18})(?:\.\.(\d{1,18}))?", text)
    if text == word and word:
        yield text
    elif match and not match[2]:
        yield int(match[1])
    elif match and 0 <= int(match[2]) - int(match[1]) < MAX_RANGE:
        yield from range(int(match[1]), int(match[2]) + 1)
    else:
        also = f", or {word}" if word else ""
        most = f"{MAX_RANGE} {plural(MAX_RANGE, 'number')}"
        raise UserError(
            f"{name} {text or repr(text)}: expected numbers such as 1,10,50 or a range of up to "
            f"{most} such as 0..4{also}"
        )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
