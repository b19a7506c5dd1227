"""Sets that exist already: strangers' files and the images of runs, checked, scored, and handed on in other formats."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmark_adapters import datasets
from benchmark_adapters.checks.content import Finding
from benchmark_adapters.execution import judge
from benchmark_adapters.execution import sandbox as custody
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Host
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs.request import DAY, Request, entry
from benchmark_adapters.scoring import official_evaluator as official
from benchmark_adapters.types import Dataset, Format, UserError, one_line
from leaderboard.records import store
from leaderboard.records.record import Record

JUDGE = "benchmark_adapters.execution.judge"
LONGEST_NAME = 100


@dataclass(frozen=True)
class Limits:
    """Of a process that reads and scores a set: seconds, and bytes of memory, by default three quarters of the machine's."""

    seconds: float = DAY
    memory: int = 0

    def bytes(self) -> int:
        import psutil

        return self.memory or psutil.virtual_memory().total * 3 // 4


@dataclass(frozen=True)
class Entry:
    """A set at a path in a format; ``record``: of the run that made it, where it is a run's."""

    path: Path
    format: str
    name: str
    record: Record | None = None


def check(
    path: Path, form: Format, dataset: Dataset, data: Path | None, limits: Limits
) -> tuple[list[Finding], dict[str, Any]]:
    """What is wrong or looks wrong with the set at ``path``, and its size.

    Raises:
        UserError: nothing is there.
    """
    if not path.exists():
        raise UserError(f"{path} is missing")
    job = {
        "what": "check",
        "path": str(path.absolute()),
        "format": form.name,
        "dataset": dataset.name,
        "data": str(data.absolute()) if data else None,
    }
    try:
        found = custody.ask(JUDGE, job, limits.seconds, limits.bytes())
    except (custody.Ended, UserError) as error:
        return [Finding("error", "unreadable", f"not readable: {error}")], {
            "images": 0,
            "ipc": 0,
            "pixels": None,
        }
    return [Finding(**finding) for finding in found.pop("findings")], found


def teams(path: Path, form: Format, name: str | None, chosen: Sequence[Dataset]) -> list[Entry]:
    """The set at ``path`` under ``name``; without a name each folder in it is a team.

    Raises:
        UserError: nothing is there, or nothing says whose it is.
    """
    if not path.exists():
        raise UserError(f"{path} is missing")
    if name is None and path.is_dir() and not any(form.find(path, dataset) for dataset in chosen):
        folders = sorted(
            folder
            for folder in path.iterdir()
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith(".")
        )
        if folders:
            return [
                Entry(folder, form.name, one_line(folder.name, LONGEST_NAME)) for folder in folders
            ]
    if not (name or "").strip():
        raise UserError(f"whose is {path}? say it with --name TEAM")
    return [Entry(path, form.name, one_line(name, LONGEST_NAME))]


def of_run(folder: Path) -> Entry:
    """The images of a run, as they are in its folder.

    Raises:
        UserError: its record can't be read, or it has no images that are fit for use.
    """
    try:
        record = store.read(folder)
    except ValueError as error:
        raise UserError(str(error)) from None
    if not (folder / native.IMAGES).is_file():
        raise UserError(f"{folder} has no images: its status is {record.status}")
    if record.shard:
        raise UserError(
            f"{folder} is shard {record.shard} of a set; join it with the others by `ddbench merge`"
        )
    if record.status == "invalid" or (
        record.status == "error" and not record.message.startswith("scoring failed")
    ):
        raise UserError(
            f"{folder} is not fit for use, its status is {record.status}: {record.message}"
        )
    return Entry(folder, "native", record.method, record)


def score(
    one: Entry,
    request: Request,
    host: Host,
    limits: Limits,
    checkout: Path | None = None,
    first_seed: int | None = None,
) -> Iterator[Path]:
    """Checks the set and trains students on it, for each dataset of the request; yields the folders of the runs.

    ``checkout``: of the challenge's own evaluator, whose score is put into the records beside ours. ``first_seed`` of the evaluation;
    None: that of the run, and 0 for files.

    Raises:
        UserError: as `plan.plan`, or the checkout has no evaluator.
    """
    request = replace(
        request,
        method=one.name,
        seed=first_seed or 0,
        dataset=one.record.dataset if one.record else request.dataset,
    )
    plans = entry(request, host)
    facts: dict[str, Any] = (
        {"scored_run": one.record.run_id}
        if one.record
        else {"file": one_line(one.path.name), "format": one.format}
    )
    if checkout:
        official.find_script(checkout)
        facts["official"] = _official(
            one, [todo.dataset for todo in plans], request, host, limits, checkout
        )
    origin = _origin(one.record, facts, first_seed)
    for todo in plans:
        asked = {
            **asdict(request),
            "dataset": todo.dataset.name,
            "data": _absolute(request.data),
            "runs": _absolute(request.runs),
        }
        job = {
            "what": "score",
            "path": str(one.path.absolute()),
            "format": one.format,
            "dataset": todo.dataset.name,
            "request": asked,
        }
        job["origin"] = origin
        try:
            found = custody.ask(JUDGE, job, limits.seconds, limits.bytes())
        except custody.Ended as error:
            failed = judge.without_images(origin, "error", f"scoring failed: {error}")
            found = {
                "run": str(
                    harness.complete(
                        judge.as_made(todo, origin), lambda folder, failed=failed: failed
                    )
                )
            }  # type: ignore[misc]
        yield Path(found["run"])


def _origin(record: Record | None, facts: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """What is known of the making of the set: for the plan, for the outcome, and the facts that were reported."""
    if record is None:
        return {"plan": {}, "outcome": {}, "facts": facts, "late": False}
    load, generate = (record.seconds.get(key) or 0.0 for key in ("load", "generate"))
    of_scoring = re.compile(
        r"\d+ repeats instead|recipe |student |\d+ test images|status (ok|error)|limit |IPC "
    )  # said anew of the new score
    known = {
        "options": record.options,
        "given": record.given,
        "limit_enforced": record.limit_enforced,
        "time_limit": record.seconds.get("limit"),
        "ipc": record.ipc_asked,
        "seed": record.seed,
        "first_seed": seed if seed is not None else (record.seeds or [record.seed])[0],
        "inherited": [
            reason for reason in record.not_comparable_because if not of_scoring.match(reason)
        ],
    }
    return {
        "plan": known,
        "outcome": {
            "load": load,
            "last": load + generate,
            "sampled": record.sampled,
            "used_real_data": record.uses_real_data,
        },
        "facts": harness.facts_of(record) | facts,
        "late": record.status == "timeout",
    }


def _official(
    one: Entry,
    chosen: Sequence[Dataset],
    request: Request,
    host: Host,
    limits: Limits,
    checkout: Path,
) -> dict[str, Any]:
    """The score of the challenge's evaluator, or why there is none. It gets files that we wrote, since it may execute what is in those of strangers."""
    bundled = host.get("tracks", request.track).bundled_data
    truth = {
        dataset.name: (dataset, datasets.load(dataset, "test", request.data, bundled))
        for dataset in chosen
    }
    with TemporaryDirectory() as scratch:
        folders = official.Folders.under(Path(scratch))
        host.get("formats", official.FORMAT).write_truth(truth, folders.truth)
        job = {
            "what": "rewrite",
            "path": str(one.path.absolute()),
            "format": one.format,
            "to": official.FORMAT,
            "output": str(folders.submission),
        }
        try:
            for dataset in chosen:
                custody.ask(JUDGE, {**job, "dataset": dataset.name}, limits.seconds, limits.bytes())
            result = official.score(checkout, folders, limits.seconds)
            return asdict(result) | {"datasets": list(truth)}
        except (custody.Ended, UserError) as error:
            return {"error": harness.without_folders(str(error)), "datasets": list(truth)}


def export(
    folders: Sequence[Path],
    form: Format,
    host: Host,
    output: Path,
    truth: bool = False,
    data: Path | None = None,
) -> list[Path]:
    """Writes the images of runs, one run for each dataset, and with ``truth`` the real test images; returns the files.

    Raises:
        UserError: two runs are of one dataset, ``output`` has files already, or the format can't hold the images.
    """
    sets: dict[str, tuple[Dataset, Any]] = {}
    tests: dict[str, tuple[Dataset, Any]] = {}
    for folder in folders:
        one = of_run(folder)
        assert one.record
        dataset: Dataset = host.get("datasets", one.record.dataset)
        if dataset.name in sets:
            raise UserError(
                f"{folder}: another run of {dataset.name} is given already; export them to folders of their own"
            )
        sets[dataset.name] = dataset, native.read(folder, dataset)
        if truth:
            tests[dataset.name] = (
                dataset,
                datasets.load(
                    dataset, "test", data, host.get("tracks", one.record.track).bundled_data
                ),
            )
    if truth and form.write_truth is None:
        raise UserError(f"format {form.name} has no files of real test images; leave out --truth")
    with _empty(output) as place:
        form.write(sets, place)
        if form.write_truth and truth:
            form.write_truth(tests, place)
    return sorted(file for file in output.rglob("*") if file.is_file())


@contextmanager
def _empty(output: Path) -> Iterator[Path]:
    """A new folder for ``output``, which becomes it when all is written."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists and is not empty; nothing is overwritten")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
            place = Path(scratch) / "whole"
            place.mkdir()
            yield place
            if output.is_dir():
                output.rmdir()
            place.rename(output)
    except OSError as error:
        raise UserError(f"{output} can't be written: {error.strerror or error}") from None


def _absolute(path: Path | None) -> str | None:
    return str(path.absolute()) if path else None
