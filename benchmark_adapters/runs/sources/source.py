"""The interface of sources, and the types that they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from benchmark_adapters.execution.batches import CorruptBatchError, collect
from benchmark_adapters.execution.messages import Report
from benchmark_adapters.execution.outcome import End, Outcome
from benchmark_adapters.formats import native
from benchmark_adapters.types import Dataset, DistilledSet
from leaderboard.records.record import Origin, Reason, Record, Session

Stage = Literal["sampling", "reading"]


@dataclass(frozen=True)
class Making:
    """How a set was made, as far as it is known.

    Attributes:
        ipc_requested: images per class; None: as many as possible.
        limit_enforced: the harness measured the time and enforced the limit.
        shard: index of this part of the set, from 0, and the number of parts.
        load: seconds until the method was ready.
        generate: seconds from then to the method's last batch.
        used: seconds until the limit or an interruption ended the method, or those of all sessions;
            None: it ended by itself.
        sampled: number of freshly sampled images.
        deviations: deviations from the track in how the set was made.
        sessions: those that the set was made in, if there were several.
        facts: what the harness knows about the method. The method can't change it.
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
    used: float | None = None
    sampled: int = 0
    used_real_data: bool = False
    report: Report = field(default_factory=Report)
    origin: Origin = field(default_factory=Origin)
    deviations: tuple[Reason, ...] = ()
    sessions: tuple[Session, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Production:
    """The output of a source.

    Attributes:
        making: how the set was made.
        distilled: the set, with its images in the run's folder; None: there are no images.
        end: how the work ended, as in `outcome.Outcome`.
        message: the reason, unless ``end`` is ``done``.
        stage: the stage that failed, if one did.
        interrupted: the work can go on later.
        notes: remarks on a complete set.
        changed_code: files with code that scores sets, changed while a method ran.
    """

    making: Making
    distilled: DistilledSet | None
    end: End
    message: str = ""
    stage: Stage = "sampling"
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    changed_code: tuple[Path, ...] = ()


class Source(Protocol):
    """A source of one distilled set."""

    @property
    def name(self) -> str:
        """The name of the method or the team."""

    @property
    def is_untrusted(self) -> bool:
        """Whether the images are untrusted: then any error in the checks makes the run invalid."""

    @property
    def expected_ipc(self) -> int | None:
        """Images per class of the set; None: as many as possible, or not known yet."""

    def produce(self, folder: Path, work: Path) -> Callable[[], Production]:
        """Do the work and return a function that collects the set.

        The work may be interrupted. The caller blocks signals while it collects the set, so that
        all results are saved: ``images.safetensors`` and ``log.txt`` in ``folder``.

        Args:
            folder: folder of the run.
            work: folder for what an interrupted run is resumed from. It may hold the work so far.

        Returns:
            The function.

        Raises:
            UserError: the work could not be started.
        """


def collected(
    making: Making,
    outcome: Outcome,
    dataset: Dataset,
    ipc: int | None,
    folder: Path,
    reported: tuple[int, int] | None = None,
) -> Production:
    """Collect the batches that were complete in time, with equally many images per class.

    Args:
        making: how the set was made.
        outcome: the outcome of the method's processes.
        dataset: the dataset of the set.
        ipc: images per class; None: as many as possible.
        folder: folder of the run.
        reported: numbers of images and of freshly sampled ones that the files should have.

    Returns:
        The output of the source.

    Raises:
        OSError: the set can't be written.
    """
    end, message = outcome.end or "error", outcome.message
    try:
        distilled = collect(outcome.files, dataset, ipc, folder / native.IMAGES, reported)
    except CorruptBatchError as error:
        end, message = "error", str(error)
        distilled = collect([[]], dataset, ipc, folder / native.IMAGES)
    except OSError:
        # Half a file would take the space that the record needs.
        (folder / native.IMAGES).unlink(missing_ok=True)
        raise
    return Production(
        making,
        distilled if distilled.ipc else None,
        end,
        message,
        interrupted=outcome.interrupted,
        notes=tuple(outcome.failed_processes),
    )


def report_of(record: Record) -> Report:
    """Return the report of the process that generated a run's images."""
    return Report(
        device=record.device,
        gpu=record.hardware.get("gpu"),
        gpus=record.hardware.get("gpus"),
        model=record.model,
        model_sha256=record.model_sha256,
        model_trained_on=record.model_trained_on,
        model_licence=record.model_licence,
        batch=record.batch,
        threads=record.threads,
        metadata=record.metadata,
    )
