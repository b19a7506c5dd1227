"""Sets that exist already: files that others sent, and the images of runs, checked and scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark_adapters import datasets
from benchmark_adapters.execution import sandbox
from benchmark_adapters.execution.messages import Checked, SandboxEvent, ScoreJob
from benchmark_adapters.execution.sandbox import Limits, SandboxFailed
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs import official_evaluator, pipeline
from benchmark_adapters.runs.read import read_record
from benchmark_adapters.runs.redaction import redact_paths
from benchmark_adapters.runs.request import Request, ScoringPlan, plan_scoring
from benchmark_adapters.runs.sources.source import Source
from benchmark_adapters.runs.sources.stored import FileSource, RunSource
from benchmark_adapters.types import Dataset, Format, UserError, one_line, resolve
from leaderboard.records.record import Finding, OfficialScore, Record

MAX_NAME = 100


@dataclass(frozen=True)
class Submission:
    """A set at a path in a format; ``record`` is that of the run that made it, for a run's set."""

    path: Path
    format: str
    name: str
    record: Record | None = None


@dataclass(frozen=True)
class CheckResult:
    """What is wrong or looks wrong with a set, and its size."""

    findings: list[Finding]
    images: int = 0
    ipc: int = 0
    pixels: str | None = None

    @property
    def is_fit(self) -> bool:
        """Return whether the set is fit for scoring."""
        return not any(finding.level == "error" for finding in self.findings)


def check(
    path: Path, file_format: Format, dataset: Dataset, data: Path | None, limits: Limits
) -> CheckResult:
    """Check the set at ``path``, as `ddbench score` does before it trains anything.

    Raises:
        UserError: nothing is there.
    """
    if not path.exists():
        raise UserError(f"{path} is missing")
    results: list[CheckResult] = []

    def hear(event: SandboxEvent) -> None:
        if isinstance(event, Checked):
            results.append(CheckResult(event.findings, event.images, event.ipc, event.pixels))

    with TemporaryDirectory() as folder:
        try:
            sandbox.decode(path, file_format.name, dataset.name, Path(folder), limits)
            sandbox.score(_check_job(Path(folder), dataset, data), limits, hear)
        except (SandboxFailed, UserError) as error:
            text = str(error).replace(f"{folder}/", "")
            return CheckResult([Finding("error", "unreadable", f"not readable: {text}")])
    return results[0]


def _check_job(folder: Path, dataset: Dataset, data: Path | None) -> ScoreJob:
    return ScoreJob(
        images=str(folder),
        dataset=dataset.name,
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


def find_submissions(
    path: Path, file_format: Format, name: str | None, wanted: Sequence[Dataset]
) -> list[Submission]:
    """Return the set at ``path`` under ``name``; without a name each folder in it is a team.

    Raises:
        UserError: nothing is there, or nothing says which team it is from.
    """
    if not path.exists():
        raise UserError(f"{path} is missing")
    find = resolve(file_format.find)
    if name is None and path.is_dir() and not any(find(path, dataset) for dataset in wanted):
        folders = sorted(folder for folder in path.iterdir() if _is_team(folder))
        if folders:
            return [_submission(folder, file_format, folder.name) for folder in folders]
    if name is None or not name.strip():
        raise UserError(f"{path} is a single submission: name the team with --name")
    return [_submission(path, file_format, name)]


def _is_team(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not folder.name.startswith(".")


def _submission(path: Path, file_format: Format, name: str) -> Submission:
    return Submission(path, file_format.name, one_line(name, MAX_NAME))


def of_run(folder: Path) -> Submission:
    """Return the images of the run in ``folder``.

    Raises:
        UserError: its record can't be read, or it has no images that are fit for use.
    """
    record = read_record(folder)
    if not (folder / native.IMAGES).is_file():
        raise UserError(f"{folder} has no images: its status is {record.status}")
    if record.shard:
        raise UserError(
            f"{folder} is shard {record.shard} of a set; join it with the others by `ddbench merge`"
        )
    is_made = record.status == "error" and record.failed_stage == "scoring"
    if record.status in ("invalid", "error") and not is_made:
        raise UserError(
            f"{folder} is not fit for use, its status is {record.status}: {record.message}"
        )
    return Submission(folder, "native", record.method, record)


def score(
    submission: Submission,
    request: Request,
    plugins: Plugins,
    checkout: Path | None = None,
    first_seed: int | None = None,
) -> Iterator[Path]:
    """Check a set and train students on it, for each dataset; yield the folders of the runs.

    Args:
        submission: the set.
        request: how it is scored; method, options and sampling are ignored.
        plugins: the installed ones.
        checkout: of the challenge's own evaluator, whose score is put into the records too.
        first_seed: of the evaluation; None: the run's first, and 0 for files.

    Raises:
        UserError: as `request.plan_scoring`, or the checkout has no evaluator.
    """
    record = submission.record
    if first_seed is None:
        first_seed = (record.seeds or [record.seed])[0] if record else 0
    dataset = record.dataset if record else request.dataset
    plans = plan_scoring(replace(request, dataset=dataset, seed=first_seed), plugins)
    official = None
    if checkout:
        official_evaluator.find_script(checkout)
        official = _official(submission, plans, plugins, checkout)
    for plan in plans:
        yield pipeline.complete(plan, _source(submission, plan, first_seed), official)


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
    )


def _official(
    submission: Submission, plans: Sequence[ScoringPlan], plugins: Plugins, checkout: Path
) -> OfficialScore:
    """Return the score by the challenge's evaluator, or why there is none.

    It gets files that we wrote, since it may execute what is in those of others.
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
    """Write the set in another format: what was decoded holds nothing that could be executed."""
    dataset, decoded = plan.dataset, scratch / f"decoded-{plan.dataset.name}"
    decoded.mkdir()
    sandbox.decode(submission.path, submission.format, dataset.name, decoded, plan.limits)
    distilled = native.load(decoded, dataset)
    resolve(file_format.write)({dataset.name: (dataset, distilled)}, output)
