"""Score a distilled set: source -> native set -> checks -> students -> record -> store."""

from __future__ import annotations

import contextlib
import itertools
import warnings
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
from benchmark_adapters.runs import derived, recording, scoring_time
from benchmark_adapters.runs.read import require_utf8
from benchmark_adapters.runs.redaction import folder_name
from benchmark_adapters.runs.request import RunPlan, ScoringPlan
from benchmark_adapters.runs.sources.method import MethodSource
from benchmark_adapters.runs.sources.source import Production, Source
from benchmark_adapters.scoring.seed_cache import SeedCache, SeedResult
from benchmark_adapters.types import Notice, UserError
from leaderboard.records import store
from leaderboard.records.record import Copies, Finding, OfficialScore, Record, ScoringRuntime

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

# Folder in the runs folder for the results of finished seeds, until their record is written.
CACHE = ".unfinished"


def run(plan: RunPlan) -> Path:
    """Generate a set with the plan's method and score it; return the folder of the run.

    Raises:
        UserError: the real data is missing or damaged, a process can't be started, or the runs
            folder can't be written.
    """
    return complete(plan.scoring, MethodSource(plan.sampling))


def complete(plan: ScoringPlan, source: Source, official: OfficialScore | None = None) -> Path:
    """Score the set from ``source``; return the folder of its run.

    ``official`` is the score from the challenge's own evaluator, for the record.

    Raises:
        UserError: the real data is missing or damaged, the source can't start, or the runs folder
            can't be written or is not UTF-8.
    """
    require_utf8(plan.runs)
    test = datasets.load(plan.dataset, "test", plan.data, plan.track.bundled_data)
    if not source.is_untrusted:
        scoring_time.announce(plan, source.expected_ipc)
    scores = _Scores()
    names = plan.track.name, plan.dataset.name, folder_name(source.name)
    folder: Path | None = None
    try:
        with store.new_run(plan.runs, *names) as folder:
            record = _finished(plan, source, folder, test, official, scores)
            with signals_blocked():
                _write_scores(folder, record)
    except OSError as error:
        raise UserError(_unwritable(plan.runs, folder, error)) from None
    if record.status in ("ok", "timeout"):
        with contextlib.suppress(OSError):
            SeedCache(plan.runs / CACHE).forget(scores.cache_keys)
    return store.final(folder)


def _write_scores(folder: Path, record: Record) -> None:
    try:
        store.write(folder, record)
    except OSError:
        derived.make_room(folder)
        store.write(folder, record)


def _unwritable(runs: Path, folder: Path | None, error: OSError) -> str:
    """Return what to do after an error of writing, and what is kept of the run in ``folder``."""
    problem = f"could not write to the runs folder {runs} ({error.strerror or error})"
    if folder and store.final(folder).is_dir():
        kept = store.final(folder)
        return f"{problem}; the images are kept: go on with `ddbench score {kept}`"
    if folder and folder.is_dir():
        return f"{problem}; what was sampled is kept in {folder}"
    return f"{problem}; choose another one with --runs"


def _finished(
    plan: ScoringPlan,
    source: Source,
    folder: Path,
    test: tuple[Array, Array],
    official: OfficialScore | None,
    scores: _Scores,
) -> Record:
    """Produce and score a set. Images and scores of finished seeds are always saved.

    Args:
        plan: how to score the set.
        source: the source of the set.
        folder: folder of the new run.
        test: real test images and their labels.
        official: the score from the challenge's own evaluator.
        scores: receives the results of scoring.

    Returns:
        The record of the run.
    """
    collect = source.produce(folder)
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
            draft = recording.draft(plan, folder, production, test)
            record = replace(draft, official=official)
            is_scorable = _is_scorable(record, production, plan, source)
            cut_off = recording.unscored(record, "it was cut off", 0, interrupted=True)
            _save(production, cut_off if is_scorable else record, folder)
        return _scored(plan, source, record, folder, scores) if is_scorable else record
    except (Exception, KeyboardInterrupt) as error:
        if record is None:
            raise
        return _failed(record, error, scores) if is_scorable else record


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
                self.by_seed[student, seed] = SeedResult(
                    event.accuracy,
                    event.confusion,
                    event.seconds,
                    event.backend,
                    event.fallback,
                    event.cache_key,
                )
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

    @property
    def cache_keys(self) -> list[str]:
        return [result.cache_key for result in self.by_seed.values()]

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


def _scored(
    plan: ScoringPlan, source: Source, record: Record, folder: Path, scores: _Scores
) -> Record:
    """Check the set and train students on it, in a process with limits.

    Args:
        plan: how to score the set.
        source: the source of the set.
        record: the record before scoring.
        folder: folder of the run.
        scores: receives the results.

    Returns:
        The record with the results.
    """
    failure: BaseException | None = None
    scores.expected = len(plan.seeds) * len(plan.students)
    try:
        sandbox.score(_job(plan, source, folder), plan.limits, scores.hear)
    except (Exception, KeyboardInterrupt) as error:
        failure = error
    record = recording.checked(record, scores.findings, scores.copies)
    if errors := fatal(record.checks, source.is_untrusted):
        return recording.invalid(record, "; ".join(finding.text for finding in errors))
    if failure:
        record = _failed(record, failure, scores)
    if not scores.finished:
        return record
    return recording.with_scores(record, plan, scores.results(plan), scores.runtime(plan))


def _job(plan: ScoringPlan, source: Source, folder: Path) -> ScoreJob:
    return ScoreJob(
        images=str(folder.absolute()),
        dataset=own_data.reference_of(plan.dataset),
        data=str(plan.data.absolute()) if plan.data else None,
        bundled=plan.track.bundled_data,
        recipe=plan.recipe.name,
        students=[student.name for student in plan.students],
        seeds=list(plan.seeds),
        device=plan.device,
        backend=plan.backend,
        cache=str((plan.runs / CACHE).absolute()),
        is_quiet=listening.listener() is not None,
        is_untrusted=source.is_untrusted,
        probes_order=source.is_untrusted,
    )
