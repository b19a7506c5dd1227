"""The result of running a method, put together from its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from benchmark_adapters.execution.messages import (
    BatchWritten,
    BrokeContract,
    Ended,
    Failed,
    MethodEvent,
    Ready,
    RealDataUsed,
    Report,
    Reported,
)
from benchmark_adapters.types import one_line

End = Literal["done", "limit", "invalid", "error"]


@dataclass(frozen=True)
class Batch:
    """A batch on disk: seconds since the start of the run, and number of sampled images."""

    seconds: float
    sampled: int


@dataclass
class Outcome:
    """The result of running a method: its batches and how it ended.

    Attributes:
        end: ``done``; ``limit``: the time limit expired; ``invalid``: the method broke its
            contract; ``error``: it failed; None: it is still running.
        message: the reason, unless ``end`` is ``done``.
        interrupted: the user interrupted the run.
        is_refusal: whether the method ended with an error that the user can fix.
        files: for each process, the batch files that were complete in time, in order.
        batches: the batches of a single process, in order.
        sampled: number of freshly sampled images.
        images: number of all images.
        ipc: images per class.
        load: seconds until the method was ready.
        last: seconds until its last batch.
        used: seconds until the limit or an interruption ended it; None: it ended by itself.
        failed_processes: one line for each process that failed while others continued.
    """

    end: End | None = None
    message: str = ""
    interrupted: bool = False
    is_refusal: bool = False
    files: list[list[Path]] = field(default_factory=lambda: [[]])
    batches: list[Batch] = field(default_factory=list)
    sampled: int = 0
    images: int = 0
    ipc: int = 0
    load: float | None = None
    last: float | None = None
    used: float | None = None
    report: Report = field(default_factory=Report)
    used_real_data: bool = False
    failed_processes: list[str] = field(default_factory=list)

    @property
    def generate(self) -> float:
        """Seconds between the method being ready and its last batch."""
        return max(0.0, self.last - (self.load or 0.0)) if self.last else 0.0

    @property
    def is_failed(self) -> bool:
        return self.end in ("invalid", "error")


def record_event(outcome: Outcome, event: MethodEvent, elapsed: float, batches: Path) -> None:
    """Apply an event, received ``elapsed`` seconds after the start, to ``outcome``."""
    match event:
        case Ready(report):
            outcome.load = elapsed
            outcome.report = outcome.report.merged(report)
        case Reported(report):
            outcome.report = outcome.report.merged(report)
        case RealDataUsed():
            outcome.used_real_data = True
        case BatchWritten(file, images, generated, ipc, replaces):
            if replaces:
                _discard(outcome)
            outcome.files[0].append(batches / file)
            outcome.batches.append(Batch(elapsed, generated))
            outcome.sampled += generated
            outcome.images += images
            outcome.ipc, outcome.last = ipc, elapsed
        case BrokeContract(text):
            outcome.end, outcome.message = "invalid", one_line(text) or "no reason given"
        case Failed(cause, text):
            outcome.is_refusal = cause == "user"
            outcome.end, outcome.message = "error", one_line(text) or "no reason given"
        case Ended():
            outcome.end = outcome.end or "done"


def _discard(outcome: Outcome) -> None:
    """Delete the batches that a complete set supersedes."""
    for file in outcome.files[0]:
        file.unlink(missing_ok=True)
    outcome.files[0].clear()
    outcome.sampled = outcome.images = 0


def joined(outcomes: Sequence[Outcome], fills_time: bool) -> Outcome:
    """Combine the outcomes of all processes.

    If the run ``fills_time`` with as many images as possible, failed processes don't fail the run
    as long as another one succeeded and none broke the contract. They are then listed in
    ``failed_processes``.
    """
    if not outcomes:
        return Outcome()
    if len(outcomes) == 1:
        return outcomes[0]
    failures = [
        f"process {number} of {len(outcomes)}: {outcome.message}"
        for number, outcome in enumerate(outcomes, 1)
        if outcome.is_failed
    ]
    sound = [outcome for outcome in outcomes if not outcome.is_failed]
    is_invalid = any(outcome.end == "invalid" for outcome in outcomes)
    survived = fills_time and bool(sound) and not is_invalid
    worst = max(sound if survived else outcomes, key=_severity)
    loads = [outcome.load for outcome in outcomes if outcome.load is not None]
    lasts = [outcome.last for outcome in outcomes if outcome.last is not None]
    return Outcome(
        end=worst.end,
        message="; ".join(failures) if failures and not survived else worst.message,
        files=[files for outcome in outcomes for files in outcome.files],
        sampled=sum(outcome.sampled for outcome in outcomes),
        images=sum(outcome.images for outcome in outcomes),
        ipc=sum(outcome.ipc for outcome in outcomes),
        load=min(loads, default=None),
        last=max(lasts, default=None),
        used=worst.used,
        report=_joined_report(sound or outcomes),
        used_real_data=any(outcome.used_real_data for outcome in outcomes),
        failed_processes=failures if survived else [],
    )


def _severity(outcome: Outcome) -> int:
    return ("done", "limit", "error", "invalid").index(outcome.end or "error")


def _joined_report(outcomes: Sequence[Outcome]) -> Report:
    """Return the first report that is not empty, with the number of GPUs in all reports."""
    reports = [outcome.report for outcome in outcomes if outcome.report != Report()]
    gpus = sum(report.gpus or 0 for report in reports)
    first = reports[0] if reports else Report()
    return msgspec.structs.replace(first, gpus=gpus) if gpus else first
