"""What is kept of a run until it ends, so that it can be resumed: ``<runs>/.unfinished/<run-id>``.

The folder is locked while the run is being made. It holds:

- ``plan.json``: the request, and what must not change until the run ends.
- ``1``, ``2``, ...: the sessions of sampling, until the set is collected.
- ``draft.json``: the record, once the set is collected and its students are being trained.
- ``seeds``: the results of finished seeds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from benchmark_adapters import environment
from benchmark_adapters.files import holds, listed, locked, read_bounded, replacing
from benchmark_adapters.runs.redaction import folder_name
from benchmark_adapters.runs.request import Request, SamplingPlan, ScoringPlan
from benchmark_adapters.runs.sources.method import MethodSource
from benchmark_adapters.runs.sources.source import Source
from leaderboard.records import store
from leaderboard.records.record import Record

FOLDER, PLAN, DRAFT, SEEDS = store.UNFINISHED, "plan.json", "draft.json", "seeds"
MAX_PLAN_BYTES = 2**20

Name = Annotated[str, Meta(pattern=r"^[^./\x00][^/\x00]{0,200}\Z")]


class Plan(msgspec.Struct, frozen=True):
    """What decides a run, written before it starts.

    Attributes:
        request: the request, for one dataset.
        folder: where relative paths of the request start.
        names: names of the folders of track, dataset and method or team.
        rules: hash of what must not change until the run ends.
        environment: versions and hardware, which must not change either.
        started: when, in UTC.
        samples: whether a method makes the set; if not, only scoring can be resumed.
        is_untrusted: as in `Source`.
        reruns, decided_options: as in `MethodSource`.
    """

    request: Request
    folder: str
    names: tuple[Name, Name, Name]
    rules: str
    environment: dict[str, str | int | float]
    started: str
    samples: bool
    is_untrusted: bool
    reruns: str | None = None
    decided_options: dict[str, Any] = {}


class Left(BaseException):
    """Raised to leave a run as it is, so that it is resumed later.

    Like an interruption it is not an `Exception`, because nothing failed.
    """


@dataclass(frozen=True)
class Unfinished:
    """A run that did not end.

    Attributes:
        work: its folder in ``.unfinished``.
        draft: its record, if only students were left to train.
    """

    work: Path
    plan: Plan
    draft: Record | None

    @property
    def run_id(self) -> str:
        return self.work.name

    @property
    def runs(self) -> Path:
        return self.work.parent.parent

    @property
    def run(self) -> Path:
        """Return the folder of the run, if it has a record, which says that it was interrupted."""
        return self.runs.joinpath(*self.plan.names, self.run_id)

    @property
    def hidden(self) -> Path:
        """Return the folder of the run while it has no record."""
        return self.run.with_name(f".{self.run_id}")

    @property
    def stage(self) -> str:
        return "sampling" if self.draft is None else "scoring"


def place(plan: ScoringPlan, source: Source) -> tuple[str, str, str]:
    """Return the names of the folders that hold a run."""
    return plan.track.name, plan.dataset.name, folder_name(source.name)


@contextlib.contextmanager
def begun(plan: ScoringPlan, source: Source, folder: Path) -> Iterator[Path]:
    """Yield the locked folder of what is kept of the new run in ``folder``.

    If the block raises, it is deleted, unless a run can be resumed from it: a full disk must not
    cost what was made.

    Raises:
        OSError: it can't be written.
    """
    work = plan.runs / FOLDER / store.run_id(folder)
    method = source if isinstance(source, MethodSource) else None
    content = Plan(
        request=plan.request,
        folder=str(Path.cwd()),
        names=place(plan, source),
        rules=rules(plan, source),
        environment=here(),
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        samples=method is not None,
        is_untrusted=source.is_untrusted,
        reruns=method.reruns if method else None,
        decided_options=dict(method.decided_options) if method else {},
    )
    # Until it is locked, it looks like something that a killed process left behind.
    work.mkdir(parents=True)
    try:
        with locked(work, waits=True):
            with replacing(work / PLAN) as temporary:
                temporary.write_bytes(msgspec.json.encode(content, enc_hook=str))
            yield work
    except BaseException:
        if not (work / DRAFT).exists() and not holds(work, store.IMAGES):
            shutil.rmtree(work, ignore_errors=True)
        raise


@contextlib.contextmanager
def protected(work: Path) -> Iterator[None]:
    """Keep what runs in the block from changing the plan of a run, or making up its record.

    Raises:
        OSError: the plan can't be read or written.
    """
    plan = (work / PLAN).read_bytes()
    try:
        yield
    finally:
        (work / DRAFT).unlink(missing_ok=True)
        if _content(work / PLAN) != plan:
            with replacing(work / PLAN) as temporary:
                temporary.write_bytes(plan)


def _content(path: Path) -> bytes:
    """Return the content of a file; empty: it is missing, a link, or too large."""
    with contextlib.suppress(OSError, ValueError):
        return read_bounded(path, MAX_PLAN_BYTES, follows_links=False)
    return b""


def keep_draft(work: Path, draft: Record) -> None:
    """Keep the record before scoring. The sessions of sampling are not needed any more."""
    with replacing(work / DRAFT) as temporary:
        temporary.write_text(draft.to_json(), encoding="utf-8")
    for folder in work.glob("[0-9]*"):
        shutil.rmtree(folder, ignore_errors=True)


def end(work: Path, record: Record) -> None:
    """Delete what was kept of a run that now has a record, unless it can be resumed.

    It is locked until then, so that nobody takes it for something that a killed process left.
    """
    if not _can_go_on(record):
        shutil.rmtree(work, ignore_errors=True)


def _can_go_on(record: Record) -> bool:
    return record.interrupted or record.failed_stage == "scoring"


def entries(runs: Path) -> list[Unfinished]:
    """Return all runs that can be resumed, oldest first."""
    found = []
    for work in listed(runs / FOLDER):
        if (one := read(work)) and not is_running(one):
            found.append(one)
    return found


def read(work: Path) -> Unfinished | None:
    """Return the run that ``work`` was kept of, which may be running; None: it can't be resumed."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return None if work.is_symlink() else _read(work)
    return None


def _read(work: Path) -> Unfinished | None:
    """Return the run that ``work`` was kept of; None: it can't be resumed.

    Raises:
        OSError, ValueError: a file can't be read.
    """
    content = read_bounded(work / PLAN, MAX_PLAN_BYTES, follows_links=False)
    plan = msgspec.json.decode(content, type=Plan, dec_hook=lambda kind, value: kind(value))
    draft = None
    if (work / DRAFT).exists():
        draft = Record.from_json(read_bounded(work / DRAFT, store.MAX_BYTES).decode())
    one = Unfinished(work, plan, draft)
    if (one.run / store.RECORD).exists() and not _can_go_on(store.read(one.run)):
        return None
    return one if draft or plan.samples else None


def is_running(one: Unfinished) -> bool:
    """Return whether a process works on the run, has just ended it, or nobody can tell."""
    try:
        with locked(one.work) as is_locked:
            return not is_locked
    except OSError:
        return True


def here() -> dict[str, str | int | float]:
    """Return versions and hardware, which one record describes for the whole run."""
    hardware = environment.hardware()
    same = {name: hardware[name] for name in ("system", "cpu", "cores")}
    return {**environment.versions(), **same, "commit": environment.commit()[0] or ""}


def rules(plan: ScoringPlan, source: Source | None) -> str:
    """Hash what must not change until a run ends: track, dataset, recipe, students and method."""
    dataset, track = plan.dataset, asdict(plan.track)
    of_track = {name: value for name, value in track.items() if name not in ("summary", "sources")}
    parts: list[object] = [
        of_track,
        [dataset.name, dataset.class_names, dataset.image_size, dataset.channels],
        [plan.recipe.sha256, [student.name for student in plan.students], plan.seeds],
        [plan.device, plan.backend],
    ]
    if isinstance(source, MethodSource):
        parts += _of_method(source.plan, source.decided_options)
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _of_method(plan: SamplingPlan, decided: Mapping[str, Any]) -> list[object]:
    method, file = plan.method, Path(plan.method.file)
    source = hashlib.sha256(file.read_bytes()).hexdigest() if method.file else ""
    settings = [plan.ipc, plan.seed, plan.time_limit, plan.processes, plan.shard, plan.is_isolated]
    return [method.name, source, settings, {**plan.options, **decided}]


@contextlib.contextmanager
def reopened(one: Unfinished) -> Iterator[tuple[Path, Path]]:
    """Yield the folder of a run that goes on, and the locked folder of what was kept of it.

    A run without a record goes on as it is. One with a record is never changed: a new run gets its
    images and what was kept of it, and gives that back if the block raises.

    Raises:
        OSError: a folder can't be written, or a process works on the run.
    """
    with locked(one.work) as is_locked:
        if not is_locked:
            raise BlockingIOError(f"a process works on run {one.run_id}")
        if not one.run.exists():
            with store.reopened(one.hidden) as folder:
                yield folder, one.work
            return
        with store.new_run(one.runs, *one.plan.names) as folder:
            # If this process is killed meanwhile, the old run can still be resumed.
            if one.draft:
                _copy(one.run, folder)
            work = one.work.rename(one.work.with_name(store.run_id(folder)))
            try:
                yield folder, work
            except Left:
                raise
            except BaseException:
                work.rename(one.work)
                raise


def _copy(run: Path, folder: Path) -> None:
    for file in run.iterdir():
        if file.is_file() and file.name != store.RECORD:
            shutil.copyfile(file, folder / file.name)
