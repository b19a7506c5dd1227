"""The tasks of a sweep: plain functions that a worker calls, on whichever machine it is.

A run has three steps, each with the runs folder as the truth, so that each can be done again:

- `begin` makes the set and leaves the run unfinished, as an interruption before scoring would.
- `train` trains one student with one seed. The result goes to the coordinator, not to the disk.
- `finish` does what `ddbench resume` does, with the results that the coordinator hands it.

`train` and `finish` use a folder of results that is theirs alone. So nothing that another process
wrote into the runs folder meanwhile can count as a result.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from benchmark_adapters.execution import discovery, sandbox
from benchmark_adapters.execution.messages import SandboxEvent, SeedScored
from benchmark_adapters.files import replacing
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs import merge, pipeline, resume, submissions, unfinished
from benchmark_adapters.runs.inbox import Submission
from benchmark_adapters.runs.pipeline import Place
from benchmark_adapters.runs.request import Request, ScoringPlan, plan_runs
from benchmark_adapters.runs.unfinished import Unfinished
from benchmark_adapters.scoring.seed_cache import SeedCache, SeedResult
from benchmark_adapters.types import Notice, UserError, one_line
from leaderboard.records import store
from leaderboard.records.record import Record

MAX_TEXT = 1000


@dataclass(frozen=True)
class Item:
    """One run that a sweep makes.

    Attributes:
        request: the request, for one dataset.
        folder: where relative paths start.
        submission: the set of a team; None: the method of the request makes one.
        known: hashes of the images of the team that need not be scored again.
        shards: folder and record of each shard of the set, to be joined; empty: it is made.
    """

    request: Request
    folder: str
    submission: Submission | None = None
    known: frozenset[str | None] = frozenset()
    shards: tuple[tuple[Path, Record], ...] = ()


@dataclass(frozen=True)
class Ref:
    """An unfinished run, as workers find it.

    Attributes:
        kept: name and content of the files that say what the run is. They are put back if they
            change, for example because of a method that runs elsewhere.
    """

    runs: Path
    run_id: str
    kept: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, work: Path) -> Ref:
        """Return the run that the folder ``work`` was kept of."""
        files = [work / name for name in (unfinished.PLAN, unfinished.DRAFT)]
        kept = [(file.name, file.read_bytes()) for file in files if file.exists()]
        return cls(work.parent.parent, work.name, tuple(kept))

    @property
    def work(self) -> Path:
        return self.runs / unfinished.FOLDER / self.run_id

    def read(self) -> Unfinished:
        """Return the run, after putting back what has changed of it.

        Raises:
            UserError: it is gone, or damaged.
        """
        if self.work.is_dir():
            for name, content in self.kept:
                file = self.work / name
                if file.is_symlink() or not file.exists() or file.read_bytes() != content:
                    with replacing(file) as temporary:
                        temporary.write_bytes(content)
        if (one := unfinished.read(self.work)) is None:
            raise UserError(f"what run {self.run_id} is resumed from is missing or damaged")
        return one


@dataclass(frozen=True)
class Answer:
    """What a task returned, or why it failed.

    Attributes:
        failure: the reason; None: it didn't fail.
        notices: what the user should know.
    """

    value: Any = None
    failure: str | None = None
    notices: tuple[str, ...] = ()


def answer(function: Callable[..., Any], arguments: Sequence[Any]) -> Answer:
    """Call a task; return its value or its failure."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", category=Notice)
        try:
            value, failure = function(*arguments), None
        # Whatever a task raises must cost its run alone.
        except Exception as error:
            is_clear = isinstance(error, UserError)
            value, failure = None, str(error) if is_clear else f"{type(error).__name__}: {error}"
    notices = [one.message for one in caught if issubclass(one.category, Notice)]
    texts = [one_line(notice, MAX_TEXT) for notice in notices]
    return Answer(value, failure and one_line(failure, MAX_TEXT), tuple(texts))


def begin(item: Item, resumes: Ref | None = None) -> Ref | Path:
    """Make, join or read a set and check it; go on with the unfinished run ``resumes``, if any.

    Returns:
        The run, whose students are still to be trained; or the folder of the run, if it has its
        record already, because something failed or nothing is to be trained.
    """
    runs = Path(item.folder, item.request.runs)
    left: list[str] = []

    def leave(plan: ScoringPlan, record: Record, place: Place, is_untrusted: bool) -> Record:
        """Take the place of scoring: check the set, then leave the run."""
        # A run without a record keeps its id when it is resumed.
        (place.folder / store.RECORD).unlink(missing_ok=True)
        if record.images_sha256 not in item.known:
            checked = pipeline.score(_unscored(plan), record, place, is_untrusted)
            if checked.status == "invalid" or checked.failed_stage == "scoring" or not plan.seeds:
                return checked
        left.append(record.run_id)
        raise unfinished.Left

    with contextlib.chdir(item.folder):
        try:
            if resumes:
                return resume.resume(resumes.read(), _plugins(), leave)
            if item.submission:
                (folder,) = submissions.score(
                    item.submission,
                    item.request,
                    _plugins(),
                    first_seed=item.request.seed,
                    scored=leave,
                )
                return folder.absolute()
            (plan,) = plan_runs(item.request, _plugins())
            if item.shards:
                return merge.join(plan, _unchanged(item.shards), leave).absolute()
            return pipeline.run(plan, leave).absolute()
        except unfinished.Left:
            return Ref.of(runs / unfinished.FOLDER / left[0])


def _unchanged(made: Sequence[tuple[Path, Record]]) -> merge.Shards:
    """Return shards, whose records and images are still those that the coordinator knows.

    Raises:
        UserError: they are not, for example because of a method that runs elsewhere.
    """
    shards = merge.read([folder for folder, _ in made])
    for folder, record in made:
        if store.read(folder) != record:
            raise UserError(f"{folder} has changed since it was made; run the command again")
    return shards


def _unscored(plan: ScoringPlan) -> ScoringPlan:
    """Return a plan that checks a set and trains nothing."""
    return replace(plan, seeds=(), follows_track=False)


def train(run: Ref, student: str, seed: int) -> SeedResult:
    """Train one student of a run with one seed.

    Raises:
        UserError, SandboxFailed: as for `sandbox.score`.
    """
    one = run.read()
    resume.require_same_environment(one)
    results: list[SeedResult] = []

    def hear(event: SandboxEvent) -> None:
        if isinstance(event, SeedScored):
            results.append(pipeline.seed_result(event))

    images = one.run if one.run.exists() else one.hidden
    with _own_folder() as own, resume.folder_of(one):
        plan, _ = resume.plans(one, _plugins())
        whole = pipeline.job(plan, Place(images, one.work, own), one.plan.is_untrusted)
        job = msgspec.structs.replace(
            whole, students=[student], seeds=[seed], is_checked=True, is_quiet=True
        )
        sandbox.score(job, plan.limits, hear)
    (result,) = results
    return result


def finish(run: Ref, place: Path, results: Sequence[SeedResult]) -> Path:
    """Put the record of a run together from ``results``; return its folder.

    A seed without a result is trained here. So what failed in `train` is tried once more, and the
    record says how it failed.

    Args:
        run: the run.
        place: the folder that it gets, unless it has a record already.
        results: the results of its seeds.
    """
    if (place / store.RECORD).exists() and unfinished.read(run.work) is None:
        # A worker died after it had finished the run.
        return place
    with _own_folder() as own:
        cache = SeedCache(own)
        for result in results:
            cache.put(result)

        def score(plan: ScoringPlan, record: Record, at: Place, is_untrusted: bool) -> Record:
            return pipeline.score(plan, record, replace(at, seeds=own), is_untrusted)

        return resume.resume(run.read(), _plugins(), score)


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """Yield a folder for results, which nothing else knows."""
    with tempfile.TemporaryDirectory(prefix="ddbench-") as folder:
        yield Path(folder)


@functools.cache
def _plugins() -> Plugins:
    """Return all plugins. They stay the same as long as a worker lives."""
    return discovery.installed()
