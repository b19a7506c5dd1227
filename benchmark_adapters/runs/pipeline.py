"""Score a distilled set: source -> native set -> checks -> students -> record -> store."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters import datasets, listening, own_data, reporting
from benchmark_adapters.execution import progress, sandbox
from benchmark_adapters.execution.messages import (
    Checked,
    SandboxEvent,
    ScoreJob,
    ScoringStarted,
    SeedScored,
    fatal,
)
from benchmark_adapters.execution.process_tree import signals_blocked
from benchmark_adapters.execution.sandbox import SandboxFailed
from benchmark_adapters.files import sync
from benchmark_adapters.formats import native
from benchmark_adapters.runs import derived, recording, scoring_time, seed_guard, unfinished
from benchmark_adapters.runs.read import require_utf8
from benchmark_adapters.runs.request import RunPlan, ScoringPlan
from benchmark_adapters.runs.sources.method import MethodSource
from benchmark_adapters.runs.sources.source import Production, Source
from benchmark_adapters.scoring.seed_cache import SeedResult
from benchmark_adapters.types import Notice, UserError
from leaderboard.records import store
from leaderboard.records.record import Copies, Finding, OfficialScore, Record, ScoringRuntime

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


@dataclass(frozen=True)
class Place:
    """Where a run is made: the folder that becomes the run, and that which only resuming needs.

    ``seeds`` holds results of seeds that finished before; None: those in ``work``.
    """

    folder: Path
    work: Path
    seeds: Path | None = None


# Checks a set and trains students on it: plan, record, place, and whether it is untrusted.
Scoring = Callable[[ScoringPlan, Record, Place, bool], Record]


def run(plan: RunPlan, scored: Scoring | None = None) -> Path:
    """Generate a set with the plan's method and score it; return the folder of the run.

    ``scored`` takes the place of `score`.

    Raises:
        UserError: the real data is missing or damaged, a process can't be started, or the runs
            folder can't be written.
    """
    return complete(plan.scoring, MethodSource(plan.sampling), scored=scored)


def complete(
    plan: ScoringPlan,
    source: Source,
    official: OfficialScore | None = None,
    scored: Scoring | None = None,
) -> Path:
    """Score the set from ``source``; return the folder of its run.

    ``official`` is the score from the challenge's own evaluator, for the record. ``scored`` takes
    the place of `score`.

    Raises:
        UserError: the real data is missing or damaged, the source can't start, or the runs folder
            can't be written or is not UTF-8.
    """
    require_utf8(plan.runs)
    test = test_images(plan)
    if not source.is_untrusted:
        scoring_time.announce(plan, source.expected_ipc)
    folder: Path | None = None
    try:
        with (
            store.new_run(plan.runs, *unfinished.place(plan, source)) as folder,
            unfinished.begun(plan, source, folder) as work,
        ):
            record = make(plan, source, Place(folder, work), test, official, scored)
            save(record, folder)
            unfinished.end(work, record)
    except OSError as error:
        raise unwritable(plan.runs, store.final(folder) if folder else None, error) from None
    return store.final(folder)


def test_images(plan: ScoringPlan) -> tuple[Array, Array]:
    """Return the real test images, uint8 [N, C, H, W], and their labels, int64 [N].

    Raises:
        UserError: they are missing or damaged.
    """
    return datasets.load(plan.dataset, "test", plan.data, plan.track.bundled_data)


def save(record: Record, folder: Path) -> None:
    """Write the record of the run in ``folder``; no signal interrupts this."""
    with signals_blocked():
        try:
            store.write(folder, record)
        except OSError:
            derived.make_room(folder)
            store.write(folder, record)


def unwritable(runs: Path, run: Path | None, error: OSError) -> UserError:
    """Return what to say after an error of writing: how to go on with what is kept of the run."""
    problem = f"could not write to the runs folder {runs} ({error.strerror or error})"
    if run and any(one.run_id == run.name for one in unfinished.entries(runs)):
        then = f"go on with `ddbench resume {run.name}` where there is room"
        return UserError(f"{problem}; what was made is kept: {then}")
    if run and run.is_dir():
        return UserError(f"{problem}; the images are kept: go on with `ddbench score {run}`")
    return UserError(f"{problem}; choose another one with --runs")


def make(
    plan: ScoringPlan,
    source: Source,
    place: Place,
    test: tuple[Array, Array],
    official: OfficialScore | None = None,
    scored: Scoring | None = None,
) -> Record:
    """Produce and score a set. Images and scores of finished seeds are always saved.

    Args:
        plan: how to score the set.
        source: the source of the set.
        place: where to make the run.
        test: real test images and their labels.
        official: the score from the challenge's own evaluator.
        scored: takes the place of `score`. It may raise `unfinished.Left`.

    Returns:
        The record of the run.

    Raises:
        UserError: the source can't start.
    """
    with seed_guard.guarded(plan.runs), unfinished.protected(place.work):
        collect = source.produce(place.folder, place.work)
    record: Record | None = None
    is_scorable = False
    try:
        with signals_blocked():
            production = collect()
            if production.distilled is not None:
                plan = plan.for_ipc(production.distilled.ipc)
                if source.is_untrusted:
                    # Only now is the size of a file known.
                    scoring_time.announce(plan, production.distilled.ipc)
            draft = recording.draft(plan, place.folder, production, test)
            record = replace(draft, official=official)
            is_scorable = _is_scorable(record, production, plan, source)
            cut_off = recording.unscored(record, "it was cut off", 0, interrupted=True)
            _save(production, cut_off if is_scorable else record, place.folder)
            if is_scorable:
                unfinished.keep_draft(place.work, record)
        _require_own_code(production, record, is_scorable)
        if not is_scorable:
            return record
        return (scored or score)(plan, record, place, source.is_untrusted)
    except (Exception, KeyboardInterrupt) as error:
        if record is None:
            raise
        return _failed(record, error, _Scores()) if is_scorable else record


def _require_own_code(production: Production, record: Record, is_scorable: bool) -> None:
    """Warn of code that changed while a method ran, or raise `UserError` if it would score now."""
    if not production.changed_code:
        return
    names = ", ".join("/".join(path.parts[-2:]) for path in production.changed_code[:5])
    problem = f"code changed while the method ran: {names}; reinstall ddbench if you did not do it"
    if is_scorable:
        raise UserError(f"{problem}, then go on with `ddbench resume {record.run_id}`")
    warnings.warn(problem, Notice, stacklevel=3)


def _failed(record: Record, error: BaseException, scores: _Scores) -> Record:
    """Return the record of a set whose scoring stopped early."""
    if isinstance(error, KeyboardInterrupt):
        return recording.unscored(record, "interrupted", scores.finished, interrupted=True)
    is_clear = isinstance(error, SandboxFailed | UserError)
    problem = str(error) if is_clear else f"{type(error).__name__}: {error}"
    return recording.unscored(record, problem, scores.finished, interrupted=False)


def _save(production: Production, record: Record, folder: Path) -> None:
    """Save the images for good with a record, which stays if the process is killed.

    What follows from both comes last, because a full disk must not cost more than that.
    """
    distilled = production.distilled
    if distilled is None:
        (folder / native.IMAGES).unlink(missing_ok=True)
        return
    sync(folder / native.IMAGES)
    store.write(folder, record)
    for problem in derived.write(folder, record, distilled):
        warnings.warn(problem, Notice, stacklevel=2)


def _is_scorable(record: Record, production: Production, plan: ScoringPlan, source: Source) -> bool:
    """Return whether to pass the set to the checks and, if there are seeds, to training."""
    has_images = production.distilled is not None and record.status in ("ok", "timeout")
    return has_images and (bool(plan.seeds) or source.is_untrusted)


def seed_result(event: SeedScored) -> SeedResult:
    """Return the result of a seed that a process reported."""
    return SeedResult(
        event.accuracy,
        event.confusion,
        event.seconds,
        event.backend,
        event.fallback,
        event.cache_key,
        event.student,
        event.seed,
    )


@dataclass
class _Scores:
    """The results received from the scoring process; ``expected`` is their number."""

    findings: list[Finding] = field(default_factory=list)
    copies: Copies | None = None
    started: ScoringStarted | None = None
    by_seed: dict[tuple[str, int], SeedResult] = field(default_factory=dict)
    expected: int = 0

    def hear(self, event: SandboxEvent) -> None:
        match event:
            case Checked(findings, copies):
                self.findings, self.copies = findings, copies
            case ScoringStarted():
                # Each of several processes sends it. They are alike.
                self.started = self.started or event
            case SeedScored(student, seed):
                self.by_seed[student, seed] = seed_result(event)
                progress.scored(len(self.by_seed), self.expected)
                accuracy, took = f"{100 * event.accuracy:.2f} %", f"{event.seconds:.1f} s"
                reporting.detail(f"{student}, seed {seed}: {accuracy}, {took}, {event.backend}")

    def results(self, plan: ScoringPlan) -> dict[str, list[SeedResult]]:
        """Return the results of each student, for the first seeds up to one that is missing."""
        results = {}
        for student in plan.students:
            keys = [(student.name, seed) for seed in plan.seeds]
            finished = itertools.takewhile(self.by_seed.__contains__, keys)
            results[student.name] = [self.by_seed[key] for key in finished]
        return {name: student for name, student in results.items() if student}

    @property
    def finished(self) -> int:
        """Return the number of finished seeds."""
        return len(self.by_seed)

    def runtime(self, plan: ScoringPlan) -> ScoringRuntime:
        assert self.started
        fallbacks = [result.fallback for result in self.by_seed.values()]
        return ScoringRuntime(
            device=self.started.device,
            threads=self.started.threads,
            requested=plan.backend,
            backends={name: results[0].backend for name, results in self.results(plan).items()},
            fallback=next((text for text in fallbacks if text), None),
        )


def score(plan: ScoringPlan, record: Record, place: Place, is_untrusted: bool) -> Record:
    """Check a set and train students on it, in a process with limits.

    Args:
        plan: how to score the set.
        record: the record before scoring.
        place: where the run is made. The results of seeds that finished before are in it.
        is_untrusted: whether errors in the checks make the run invalid.

    Returns:
        The record with the results.
    """
    failure: BaseException | None = None
    scores = _Scores(expected=len(plan.seeds) * len(plan.students))
    try:
        sandbox.score(job(plan, place, is_untrusted), plan.limits, scores.hear)
    except (Exception, KeyboardInterrupt) as error:
        failure = error
    record = recording.checked(record, scores.findings, scores.copies)
    if errors := fatal(record.checks, is_untrusted):
        return recording.invalid(record, "; ".join(finding.text for finding in errors))
    if failure:
        record = _failed(record, failure, scores)
    if not scores.finished:
        return record
    return recording.with_scores(record, plan, scores.results(plan), scores.runtime(plan))


def job(plan: ScoringPlan, place: Place, is_untrusted: bool) -> ScoreJob:
    """Return the job that checks a set and trains all students on it."""
    return ScoreJob(
        images=str(place.folder.absolute()),
        dataset=own_data.reference_of(plan.dataset),
        data=str(plan.data.absolute()) if plan.data else None,
        bundled=plan.track.bundled_data,
        recipe=plan.recipe.name,
        students=[student.name for student in plan.students],
        seeds=list(plan.seeds),
        device=plan.device,
        backend=plan.backend,
        cache=str((place.seeds or place.work / unfinished.SEEDS).absolute()),
        is_quiet=listening.listener() is not None,
        is_untrusted=is_untrusted,
        probes_order=is_untrusted,
        threads=plan.request.threads,
    )
