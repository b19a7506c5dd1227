"""The child process that checks a native set and trains students on it.

The parent's end is `benchmark_adapters.execution.sandbox.score`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters import datasets, own_data, plugins
from benchmark_adapters.checks.content import inspect
from benchmark_adapters.execution import child, devices
from benchmark_adapters.execution.child import Send
from benchmark_adapters.execution.messages import (
    Checked,
    ScoreJob,
    ScoringStarted,
    SeedScored,
    is_unfit,
)
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.types import Dataset, DistilledSet, UserError
from leaderboard.records.record import Finding

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


def score(job: ScoreJob, send: Send) -> None:
    """Check the job's set, then train its students.

    Students are not trained on an untrusted set with errors.
    """
    installed = plugins.build()
    dataset = own_data.find_for_job(installed, job.dataset)
    distilled = native.load(Path(job.images), dataset)
    findings: list[Finding] = []
    if not job.is_checked:
        findings = _check(job, distilled, dataset)
        size = len(distilled.labels), distilled.ipc, str(distilled.images.dtype)
        send(Checked(findings, *size))
    if job.seeds and not is_unfit(job, findings):
        _train(job, installed, distilled, dataset, send)


def _check(job: ScoreJob, distilled: DistilledSet, dataset: Dataset) -> list[Finding]:
    """Run all checks. The class order is checked only if no other check finds an error."""
    findings = inspect(distilled, dataset)
    if not job.probes_order or any(finding.level == "error" for finding in findings):
        return findings
    try:
        real = _training_images(job, dataset)
    except UserError as error:
        text = f"class order not checked: {error}"
        return [*findings, Finding("note", "class-order-unchecked", text)]
    # This imports torch, which is slow, so it is done only if needed.
    from benchmark_adapters.checks import class_order

    classifier = class_order.classifier(dataset, real, devices.resolve(job.device))
    return [*findings, class_order.probe(distilled, dataset, classifier)]


def _training_images(job: ScoreJob, dataset: Dataset) -> tuple[Array, Array]:
    """Return the track's training images, or the bundled ones if those are not available."""
    try:
        return datasets.load(dataset, "train", _folder(job), job.bundled)
    except UserError:
        if dataset.bundled is None:
            raise
        return datasets.load(dataset, "train", bundled=True)


def _train(
    job: ScoreJob, installed: Plugins, distilled: DistilledSet, dataset: Dataset, send: Send
) -> None:
    import torch

    from benchmark_adapters.execution import progress
    from benchmark_adapters.scoring import evaluate
    from benchmark_adapters.scoring.seed_cache import SeedCache

    recipe, device = installed.recipes.require(job.recipe), devices.resolve(job.device)
    send(ScoringStarted(device, torch.get_num_threads()))
    test = datasets.load(dataset, "test", _folder(job), job.bundled)
    cache = SeedCache(Path(job.cache)) if job.cache else None
    for name, seeds in _share(job).items():
        student = installed.students.require(name)
        with progress.scoring(
            name, recipe, len(seeds), is_quiet=job.is_quiet or job.part > 0
        ) as report:
            results = evaluate.score(
                distilled,
                test,
                dataset,
                recipe,
                student,
                seeds,
                device,
                report,
                cache=cache,
                backend=job.backend,
            )
            for seed, result in zip(seeds, results, strict=True):
                send(
                    SeedScored(
                        name,
                        seed,
                        result.accuracy,
                        result.confusion,
                        result.seconds,
                        result.backend,
                        result.fallback,
                        result.cache_key,
                    )
                )


def _share(job: ScoreJob) -> dict[str, list[int]]:
    """Return the seeds that this process trains each student with."""
    pairs = [(student, seed) for student in job.students for seed in job.seeds]
    share: dict[str, list[int]] = {}
    for student, seed in pairs[job.part :: job.parts]:
        share.setdefault(student, []).append(seed)
    return share


def _folder(job: ScoreJob) -> Path | None:
    return Path(job.data) if job.data else None


if __name__ == "__main__":
    child.serve_limited(ScoreJob, score)
