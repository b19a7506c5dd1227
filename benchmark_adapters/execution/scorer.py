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
    fatal,
)
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.types import Dataset, DistilledSet, Split, UserError
from leaderboard.records.record import Finding

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


def score(job: ScoreJob, send: Send) -> None:
    """Check the job's set, then train its students.

    Students are not trained on a set with errors that are fatal.
    """
    installed = plugins.build()
    dataset = own_data.find_for_job(installed, job.dataset)
    distilled = native.load(Path(job.images), dataset)
    findings: list[Finding] = []
    if not job.is_checked:
        checked = _check(job, distilled, dataset)
        findings = checked.findings
        send(checked)
    if job.seeds and not fatal(findings, job.is_untrusted):
        _train(job, installed, distilled, dataset, send)


def _check(job: ScoreJob, distilled: DistilledSet, dataset: Dataset) -> Checked:
    """Run all checks. The class order is checked only if no other check finds an error."""
    findings, copies = inspect(distilled, dataset), None
    train, lacks = _training_images(job, dataset)
    try:
        test, _ = _load(job, dataset, "test")
    except UserError as error:
        text = f"no copies of real images were looked for: {error}"
        findings.append(Finding("note", "real-images-unchecked", text))
    else:
        # This imports torch, which is slow, so it is done only if needed.
        from benchmark_adapters.checks.copies import RealImages, find_copies

        copies, found = find_copies(distilled, dataset, RealImages(test, train, lacks))
        findings += found
    if job.probes_order and not any(finding.level == "error" for finding in findings):
        findings.append(_probe_order(job, distilled, dataset, train, lacks))
    pixels = str(distilled.images.dtype)
    return Checked(findings, copies, len(distilled.labels), distilled.ipc, pixels)


def _probe_order(
    job: ScoreJob,
    distilled: DistilledSet,
    dataset: Dataset,
    train: tuple[Array, Array] | None,
    lacks: str,
) -> Finding:
    if train is None:
        return Finding("note", "class-order-unchecked", f"class order not checked: {lacks}")
    from benchmark_adapters.checks import class_order

    classifier = class_order.classifier(dataset, train, devices.resolve(job.device))
    return class_order.probe(distilled, dataset, classifier)


def _training_images(job: ScoreJob, dataset: Dataset) -> tuple[tuple[Array, Array] | None, str]:
    """Return the training images, and why they are none or not all; "": they are all."""
    try:
        images, is_bundled = _load(job, dataset, "train")
    except UserError as error:
        return None, str(error)
    return images, "only a part of the training split is bundled" if is_bundled else ""


def _load(job: ScoreJob, dataset: Dataset, split: Split) -> tuple[tuple[Array, Array], bool]:
    """Return the track's split, or the bundled one if that is missing; and whether it is bundled.

    Raises:
        UserError: there is none.
    """
    try:
        images = datasets.load(dataset, split, _folder(job), job.bundled)
    except UserError:
        if dataset.bundled is None:
            raise
        return datasets.load(dataset, split, bundled=True), True
    return images, job.bundled and dataset.bundled is not None


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
