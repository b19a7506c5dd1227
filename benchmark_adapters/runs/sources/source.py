"""What every source gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from benchmark_adapters.execution.batches import CorruptBatchError, collect
from benchmark_adapters.execution.messages import Report
from benchmark_adapters.execution.supervisor import End, Outcome
from benchmark_adapters.formats import native
from benchmark_adapters.types import Dataset, DistilledSet
from leaderboard.records.record import Origin, Reason, Record

Stage = Literal["sampling", "reading"]


@dataclass(frozen=True)
class Making:
    """How a set was made, as far as it is known.

    Attributes:
        ipc_requested: images per class; None: as many as fit.
        limit_enforced: the harness was there and measured the time.
        shard: which part of a set this is, from 0, and the number of parts.
        load: seconds until the method was ready; ``generate``: from then to its last batch.
        sampled: freshly sampled images.
        deviations: from the track, known from the making.
    """

    method: str
    seed: int
    ipc_requested: int | None = None
    time_limit: float | None = None
    limit_enforced: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    explicit_options: tuple[str, ...] = ()
    processes: int = 1
    shard: tuple[int, int] = (0, 1)
    load: float | None = None
    generate: float | None = None
    sampled: int = 0
    used_real_data: bool = False
    report: Report = field(default_factory=Report)
    origin: Origin = field(default_factory=Origin)
    deviations: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Production:
    """What a source gave.

    Attributes:
        distilled: the set, whose images lie in the run's folder; None: there are no images.
        end: how it ended, as in `supervisor.Outcome`; ``message`` says why, unless it is done.
        stage: where it failed, if it did.
        notes: what is worth telling of a set that is complete.
    """

    making: Making
    distilled: DistilledSet | None
    end: End
    message: str = ""
    stage: Stage = "sampling"
    interrupted: bool = False
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """A source of one distilled set."""

    @property
    def name(self) -> str:
        """The method's or the team's name."""

    @property
    def is_untrusted(self) -> bool:
        """Others made the images: an error that a check finds makes the run invalid."""

    def produce(self, folder: Path) -> Callable[[], Production]:
        """Do the work, with its files in ``folder``, and return what collects the set from it.

        The work may be interrupted. Whoever collects blocks signals meanwhile, so that what was
        made is kept: ``images.safetensors`` and ``log.txt`` in ``folder``.

        Raises:
            UserError: nothing could be begun.
        """


def collected(
    making: Making, outcome: Outcome, dataset: Dataset, ipc: int | None, folder: Path
) -> Production:
    """Collect the batches that were complete in time, trimmed to class balance."""
    end, message = outcome.end or "error", outcome.message
    try:
        distilled = collect(outcome.files, dataset, ipc, folder / native.IMAGES)
    except CorruptBatchError as error:
        end, message = "error", str(error)
        distilled = collect([[]], dataset, ipc, folder / native.IMAGES)
    return Production(
        making,
        distilled if distilled.ipc else None,
        end,
        message,
        interrupted=outcome.interrupted,
        notes=tuple(outcome.failed_processes),
    )


def report_of(record: Record) -> Report:
    """Return what the process that made a run's images had reported."""
    return Report(
        device=record.device,
        model=record.model,
        model_sha256=record.model_sha256,
        model_trained_on=record.model_trained_on,
        model_licence=record.model_licence,
        batch=record.batch,
        threads=record.threads,
        metadata=record.metadata,
    )
