"""Check and score existing sets: untrusted files, and the images of runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark_adapters import datasets, own_data, reporting
from benchmark_adapters.execution import isolation, sandbox
from benchmark_adapters.execution.messages import Checked, SandboxEvent, ScoreJob
from benchmark_adapters.execution.sandbox import Limits, SandboxFailed
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs import official_evaluator, pipeline
from benchmark_adapters.runs.inbox import Submission
from benchmark_adapters.runs.read import require_utf8
from benchmark_adapters.runs.redaction import redact_paths
from benchmark_adapters.runs.request import Request, ScoringPlan, plan_scoring
from benchmark_adapters.runs.sources.source import Source
from benchmark_adapters.runs.sources.stored import FileSource, RunSource
from benchmark_adapters.types import Dataset, Format, Track, UserError, resolve
from leaderboard.records.record import Copies, Finding, OfficialScore


@dataclass(frozen=True)
class CheckResult:
    """The findings of the checks of a set, its size, and the format in which it was read.

    ``copies`` has the shares of copies of real images; None: nobody looked for them.
    """

    findings: list[Finding]
    images: int = 0
    ipc: int = 0
    pixels: str | None = None
    format: str | None = None
    copies: Copies | None = None

    @property
    def is_fit(self) -> bool:
        """Return whether the set is fit for scoring."""
        return not any(finding.level == "error" for finding in self.findings)


def check(
    path: Path,
    file_format: Format | None,
    dataset: Dataset,
    data: Path | None,
    limits: Limits,
    track: Track | None = None,
    resizes: bool = False,
) -> CheckResult:
    """Check a set in the same way as `ddbench score` does before training.

    Args:
        path: file, folder or zip archive of the set.
        file_format: its format; None: that which the names of its files tell.
        dataset: its dataset.
        data: folder of the real datasets.
        limits: limits of the child processes.
        track: the track whose rule on images per class the set must follow.
        resizes: resize pictures to the size of the dataset.

    Returns:
        The result of the checks. A set that can't be read is a finding.

    Raises:
        UserError: ``path`` doesn't exist or is not UTF-8, or reading can't be isolated.
    """
    isolation.check(limits.isolate)
    if not path.exists():
        raise UserError(f"{path} is missing")
    require_utf8(path)
    # A check says by itself that it lacks the real data.
    with contextlib.suppress(UserError):
        reporting.detail(f"{dataset.name}: {datasets.find(dataset, data)}")
    results: list[CheckResult] = []

    def hear(event: SandboxEvent) -> None:
        if isinstance(event, Checked):
            size = event.images, event.ipc, event.pixels
            results.append(CheckResult(event.findings, *size, copies=event.copies))

    with TemporaryDirectory() as folder:
        try:
            reference = own_data.reference_of(dataset)
            name = file_format.name if file_format else None
            found = sandbox.decode(path, name, reference, Path(folder), limits, resizes)
            sandbox.score(_check_job(Path(folder), dataset, data), limits, hear)
        except (SandboxFailed, UserError) as error:
            text = str(error).replace(f"{folder}/", "")
            return CheckResult([Finding("error", "unreadable", f"not readable: {text}")])
    result = results[0]
    findings = [*_breaches(result, dataset, track), *result.findings]
    return replace(result, findings=findings, format=found.name)


def _breaches(result: CheckResult, dataset: Dataset, track: Track | None) -> Iterator[Finding]:
    """Yield how a set breaks the rules of a track. `score` would score it, but not rank it."""
    if track and dataset.name not in track.datasets:
        takes = " and ".join(track.datasets)
        yield Finding("error", "dataset", f"track {track.name} takes {takes}, not {dataset.name}")
    if track and track.ipc and result.ipc not in track.ipc:
        takes = " or ".join(map(str, track.ipc))
        text = f"{result.ipc} images per class, but track {track.name} takes {takes}"
        yield Finding("error", "ipc", text)


def _check_job(folder: Path, dataset: Dataset, data: Path | None) -> ScoreJob:
    return ScoreJob(
        images=str(folder),
        dataset=own_data.reference_of(dataset),
        data=str(data.absolute()) if data else None,
        bundled=False,
        recipe="",
        students=[],
        seeds=[],
        device="cpu",
        backend="auto",
        cache=None,
        is_untrusted=True,
        probes_order=True,
    )


def score(
    submission: Submission,
    request: Request,
    plugins: Plugins,
    checkout: Path | None = None,
    first_seed: int | None = None,
    scored: pipeline.Scoring | None = None,
) -> Iterator[Path]:
    """Check a submission and train students on it, for each dataset.

    Args:
        submission: the submission.
        request: how to score it; settings of the method and the sampling are ignored.
        plugins: the installed plugins.
        checkout: a checkout of the challenge's own evaluator, whose score is added to the records.
        first_seed: the first evaluation seed; None: the run's first seed, or 0 for files.
        scored: takes the place of `pipeline.score`.

    Yields:
        The folder of each new run.

    Raises:
        UserError: a name is unknown, a value is not allowed, a dataset or the device is not
            available, the checkout has no evaluator, or the runs folder can't be written.
    """
    record = submission.record
    if first_seed is None:
        first_seed = (record.seeds or [record.seed])[0] if record else 0
    dataset = request.dataset or (record.dataset if record else None)
    plans = plan_scoring(replace(request, dataset=dataset, seed=first_seed), plugins)
    if record and (name := plans[0].dataset.name) != record.dataset:
        raise UserError(f"run {record.run_id} is on dataset {record.dataset}, not on {name}")
    official = None
    if checkout:
        official_evaluator.find_script(checkout)
        official = _official(submission, plans, plugins, checkout)
    for plan in plans:
        yield pipeline.complete(plan, _source(submission, plan, first_seed), official, scored)


def _source(submission: Submission, plan: ScoringPlan, seed: int) -> Source:
    if submission.record:
        return RunSource(submission.path, submission.record, plan.dataset, plan.limits)
    return FileSource(
        submission.name,
        submission.path,
        submission.format,
        plan.dataset,
        seed,
        plan.track.time_limit,
        plan.limits,
        submission.resizes,
    )


def _official(
    submission: Submission, plans: Sequence[ScoringPlan], plugins: Plugins, checkout: Path
) -> OfficialScore:
    """Return the score from the challenge's evaluator, or the reason why there is none.

    The evaluator may execute code in the files that it reads, so it gets files that ddbench wrote.
    """
    names = [plan.dataset.name for plan in plans]
    file_format = plugins.formats.require(official_evaluator.FORMAT)
    assert file_format.write_truth
    with TemporaryDirectory() as scratch:
        folders = official_evaluator.Folders.under(Path(scratch))
        tests = {
            plan.dataset.name: (
                plan.dataset,
                datasets.load(plan.dataset, "test", plan.data, plan.track.bundled_data),
            )
            for plan in plans
        }
        resolve(file_format.write_truth)(tests, folders.truth)
        try:
            for plan in plans:
                _rewrite(submission, plan, file_format, Path(scratch), folders.submission)
            score = official_evaluator.score(checkout, folders, plans[0].limits.seconds)
        except (SandboxFailed, UserError) as error:
            return OfficialScore(names, error=redact_paths(str(error)))
    return OfficialScore(names, correct=score.correct, seconds=score.seconds)


def _rewrite(
    submission: Submission, plan: ScoringPlan, file_format: Format, scratch: Path, output: Path
) -> None:
    """Decode a submission and write it in another format, so that it contains no executable code.

    Args:
        submission: the submission.
        plan: how it is scored.
        file_format: the format to write.
        scratch: folder for the decoded set.
        output: folder for the written files.

    Raises:
        UserError: the submission can't be read, or the format can't hold it.
        SandboxFailed: decoding exceeded its limits, or the reader crashed.
    """
    dataset, decoded = plan.dataset, scratch / f"decoded-{plan.dataset.name}"
    decoded.mkdir()
    reference = own_data.reference_of(dataset)
    sandbox.decode(
        submission.path, submission.format, reference, decoded, plan.limits, submission.resizes
    )
    distilled = native.load(decoded, dataset)
    resolve(file_format.write)({dataset.name: (dataset, distilled)}, output)
