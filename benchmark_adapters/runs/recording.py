"""Build the record of a run from its plan, the output of its source, and its scores."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from benchmark_adapters import datasets, environment
from benchmark_adapters.execution.messages import Report
from benchmark_adapters.runs.redaction import option_value, redact_paths, redacted
from benchmark_adapters.runs.request import ScoringPlan
from benchmark_adapters.runs.sources.source import Making, Production
from benchmark_adapters.scoring.seed_cache import Score, SeedResult
from benchmark_adapters.types import Track, one_line
from leaderboard import stats
from leaderboard.analysis import devices
from leaderboard.records import store
from leaderboard.records.record import (
    Copies,
    Finding,
    Reason,
    Record,
    ScoringRuntime,
    Seconds,
    TrackRules,
)
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

Status = Literal["ok", "timeout", "invalid", "error"]
MAX_MESSAGE = 5000


def draft(
    plan: ScoringPlan, folder: Path, production: Production, test: tuple[Array, Array]
) -> Record:
    """Return the record before scoring; ``test`` holds the real test images and their labels."""
    making, distilled = production.making, production.distilled
    ipc = distilled.ipc if distilled else 0
    status, message = _verdict(production, ipc)
    commit, has_changes = environment.commit()
    shard, shards = making.shard
    record = Record(
        run_id=store.run_id(folder),
        status=status,
        message=one_line(redact_paths(message), MAX_MESSAGE),
        failed_stage=production.stage if status in ("invalid", "error") else None,
        interrupted=production.interrupted,
        track=plan.track.name,
        dataset=plan.dataset.name,
        method=making.method,
        options={name: option_value(value) for name, value in making.options.items()},
        explicit_options=[_explicit(text) for text in making.explicit_options],
        seed=making.seed,
        recipe=plan.recipe.name,
        recipe_sha256=plan.recipe.sha256,
        student=plan.students[0].name,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        ipc=ipc,
        ipc_asked=making.ipc_requested,
        repeats=len(plan.seeds),
        processes=making.processes,
        shard=f"{shard}/{shards}" if shards > 1 else None,
        category=f"IPC {ipc}" if len(plan.track.ipc) > 1 else "",
        generated_per_class=distilled.generated_per_class if distilled else 0.0,
        sampled=making.report.sampled or making.sampled,
        images_per_second=_rate(making),
        seconds=Seconds(making.load, making.generate, None, making.time_limit, making.used),
        images_sha256=distilled.sha256 if distilled else None,
        data_sha256=datasets.digest(*test),
        uses_real_data=making.used_real_data,
        limit_enforced=making.limit_enforced,
        origin=making.origin,
        sessions=list(making.sessions),
        rules=_rules(plan.track),
        hardware=environment.hardware(),
        versions=environment.versions(),
        commit=commit,
        dirty=has_changes,
    )
    own = {"dataset_reference": plan.dataset.reference} if plan.dataset.reference else {}
    record = _with_report(record, making)
    reasons = _deviations(plan, making, record, len(test[0]))
    return replace(
        record,
        comparable=not reasons,
        not_comparable_because=reasons,
        metadata={**record.metadata, **making.facts, **own},
    )


def _rules(track: Track) -> TrackRules | None:
    """Return the rules of a track from a file."""
    if not track.sha256:
        return None
    return TrackRules(
        sha256=track.sha256,
        datasets=list(track.datasets),
        time_limit=track.time_limit,
        ipc=list(track.ipc),
        default_ipc=track.default_ipc,
        recipe=track.recipe,
        repeats=track.repeats,
        student=track.student,
        real_data=track.real_data,
        bundled_data=track.bundled_data,
        devices=track.devices,
    )


def _with_report(record: Record, making: Making) -> Record:
    """Add the values that the method reported."""
    report = making.report
    gpu = {"gpu": report.gpu, "gpus": report.gpus}
    timing = {
        "prompts_encoded": report.prompts_encoded,
        "prompts_seconds": report.prompts_seconds,
    }
    return replace(
        record,
        device=report.device,
        model=redacted(report.model),
        model_sha256=report.model_sha256,
        model_trained_on=redacted(report.model_trained_on),
        model_licence=redacted(report.model_licence),
        batch=report.batch,
        threads=report.threads,
        hardware=record.hardware | _known(gpu),
        metadata=redacted(report.metadata) | _known(timing) | _warnings(report),
    )


def _warnings(report: Report) -> dict[str, list[str]]:
    found = [one_line(redact_paths(text)) for text in report.warnings]
    return {"warnings": found} if found else {}


def _known(values: Mapping[str, str | int | float | None]) -> dict[str, str | int | float]:
    return {name: value for name, value in values.items() if value is not None}


def _explicit(text: str) -> str:
    name, _, value = text.partition("=")
    return f"{name}={option_value(value)}"


def _rate(making: Making) -> float | None:
    """Return the number of images sampled per second, as the method reported or as it yielded."""
    seconds = making.report.sampling_seconds or making.generate
    sampled = making.report.sampled or making.sampled
    return sampled / seconds if sampled and seconds else None


def _verdict(production: Production, ipc: int) -> tuple[Status, str]:
    """Return the status and the message."""
    making, end, message = production.making, production.end, production.message
    if end == "invalid" or end == "error":
        return end, message
    # The checks decide whether a set that was read is valid.
    if production.stage == "reading" and end == "done":
        return "ok", ""
    requested = making.ipc_requested
    # A complete shard may have no images.
    is_whole_shard = making.shard[1] > 1 and end == "done"
    if is_whole_shard or (ipc and (requested is None or ipc >= requested)):
        return "ok", "; ".join(production.notes)
    wanted = "images of every class"
    if requested is not None:
        wanted = f"{requested} {plural(requested, 'image')} per class"
    if end == "limit" and ipc:
        return "timeout", f"{ipc} of {wanted} by the time limit"
    if end == "limit":
        return "timeout", f"{message} before every class had an image"
    if ipc:
        return "invalid", f"the method stopped after {ipc} of {wanted}"
    return "invalid", f"the method stopped before generating {wanted}"


def _deviations(plan: ScoringPlan, making: Making, record: Record, tested: int) -> list[Reason]:
    """Return how the run deviates from its track.

    Args:
        plan: how the set is scored.
        making: how the set was made.
        record: the record without this verdict.
        tested: number of real test images.

    Returns:
        The deviations; empty: the run is comparable.
    """
    track, limit = plan.track, making.time_limit
    status, ipc = record.status, record.ipc
    shard, shards = making.shard
    if shards > 1:
        return [Reason("shard", f"shard {shard} of {shards}")]
    repeats = len(plan.seeds)
    wanted = track.repeats_at(ipc)
    ipc_rule = " or ".join(map(str, track.ipc))
    checks = [
        (status != "ok", "status", f"status {status}"),
        (
            limit is not None and limit != track.time_limit,
            "time-limit",
            f"time limit {limit:g} s instead of {track.time_limit:g} s"
            if limit is not None
            else "",
        ),
        (
            bool(track.ipc) and ipc not in track.ipc,
            "ipc",
            f"IPC {ipc} instead of {ipc_rule}",
        ),
        (
            repeats < wanted,
            "repeats",
            f"{repeats} {plural(repeats, 'repeat')} instead of {wanted}",
        ),
        *_scoring_checks(plan, tested),
    ]
    reasons = [Reason(code, text) for differs, code, text in checks if differs]
    inherited = [reason for reason in making.deviations if reason not in reasons]
    of_devices = devices.deviation(record, track.devices)
    return [*inherited, *([of_devices] if of_devices else []), *reasons]


def _scoring_checks(plan: ScoringPlan, tested: int) -> list[tuple[bool, str, str]]:
    """Return how scoring may deviate from the track: whether it does, the code and the text."""
    track, student = plan.track, plan.students[0].name
    return [
        (
            plan.recipe.name != track.recipe,
            "recipe",
            f"recipe {plan.recipe.name} instead of {track.recipe}",
        ),
        (
            student != (track.student or plan.recipe.student),
            "student",
            f"student {student}",
        ),
        (
            plan.dataset.name not in track.datasets,
            "dataset",
            f"dataset {plan.dataset.name} instead of {' or '.join(track.datasets)}",
        ),
        (
            tested != plan.dataset.test_size,
            "test-images",
            f"{tested} test {plural(tested, 'image')} instead of {plan.dataset.test_size}",
        ),
    ]


def with_scores(
    record: Record,
    plan: ScoringPlan,
    results: Mapping[str, Sequence[SeedResult]],
    runtime: ScoringRuntime,
) -> Record:
    """Add the accuracies of the first student and, separately, those of the others."""
    first, *others = (list(results.get(student.name, ())) for student in plan.students)
    if not first:
        return record
    score = Score.of(first)
    mean, std, interval = stats.summary(score.accuracies)
    every = [result for student in (first, *others) for result in student]
    names = [student.name for student in plan.students[1:]]
    return replace(
        record,
        seeds=list(plan.seeds[: len(first)]),
        accuracies=score.accuracies,
        accuracy_mean=mean,
        accuracy_std=std,
        accuracy_ci95=interval,
        confusion=score.confusion,
        other_students={
            name: [result.accuracy for result in student]
            for name, student in zip(names, others, strict=True)
        },
        seconds=replace(record.seconds, evaluate=sum(result.seconds for result in every)),
        device=record.device or runtime.device,
        scoring=runtime,
    )


def checked(record: Record, findings: Sequence[Finding], copies: Copies | None) -> Record:
    """Add the findings of the checks. Copies of training images show that real data was used."""
    return replace(
        record,
        checks=[
            replace(finding, text=one_line(redact_paths(finding.text))) for finding in findings
        ],
        copies=copies,
        uses_real_data=record.uses_real_data or bool(copies and copies.of_training),
    )


def invalid(record: Record, message: str) -> Record:
    """Return the record of a set in which a check found errors."""
    status = Reason("status", "status invalid")
    return replace(
        record,
        status="invalid",
        message=one_line(redact_paths(message), MAX_MESSAGE),
        failed_stage="checking",
        comparable=False,
        not_comparable_because=[*_without_status(record), status],
    )


def unscored(record: Record, problem: str, finished: int, interrupted: bool) -> Record:
    """Return the record of a set whose scoring stopped early; the images and seeds are saved."""
    after = f"; finished seeds: {finished}" if finished else ""
    return replace(
        record,
        status="error",
        message=f"scoring failed: {redact_paths(one_line(problem))} (the images are saved{after})",
        failed_stage="scoring",
        interrupted=interrupted,
        comparable=False,
        not_comparable_because=[Reason("status", "status error")],
    )


def _without_status(record: Record) -> list[Reason]:
    return [reason for reason in record.not_comparable_because if reason.code != "status"]


def manifest(record: Record, description: dict[str, object]) -> bytes:
    """Return the content of ``manifest.json``: what the images are and how they were made."""
    content = {
        **description,
        "method": record.method,
        "options": record.options,
        "model": record.model,
        "seed": record.seed,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
