"""Sources of existing sets: untrusted files, and the images of runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec

from benchmark_adapters import own_data
from benchmark_adapters.execution import sandbox
from benchmark_adapters.execution.report import Report
from benchmark_adapters.execution.sandbox import Limits, SandboxFailed
from benchmark_adapters.formats import native
from benchmark_adapters.runs.sources.source import Making, Production, report_of
from benchmark_adapters.types import Dataset, UserError
from leaderboard.records.record import Origin, Record

# Codes of deviations that are determined again when a run's images are scored again.
DETERMINED = (
    "status",
    "time-limit",
    "ipc",
    "repeats",
    "recipe",
    "student",
    "dataset",
    "test-images",
    "merged",
    "devices",
)


@dataclass(frozen=True)
class FileSource:
    """An untrusted file, folder or zip archive; ``name`` is the name of the team.

    Attributes:
        format: its format; None: that which the names of its files tell.
        resizes: resize pictures to the size of the dataset.
    """

    name: str
    path: Path
    format: str | None
    dataset: Dataset
    seed: int
    time_limit: float
    limits: Limits
    resizes: bool = False
    expected_ipc: int | None = None
    is_untrusted: bool = True

    def produce(self, folder: Path, work: Path) -> Callable[[], Production]:
        making = Making(
            method=self.name,
            seed=self.seed,
            time_limit=self.time_limit,
            limit_enforced=False,
            origin=Origin("file", file=self.path.name, format=self.format),
        )
        production = _decoded(making, self, self.dataset, self.limits, folder)
        return lambda: production


@dataclass(frozen=True)
class RunSource:
    """The images of an existing run, to be scored again."""

    path: Path
    record: Record
    dataset: Dataset
    limits: Limits
    format: str = "native"
    resizes: bool = False

    @property
    def name(self) -> str:
        return self.record.method

    @property
    def expected_ipc(self) -> int | None:
        return self.record.ipc

    @property
    def is_untrusted(self) -> bool:
        """Whether the images came from a file originally. The images of a method are trusted."""
        return not self.record.limit_enforced

    def produce(self, folder: Path, work: Path) -> Callable[[], Production]:
        record = self.record
        origin = replace(record.origin, kind="run", run_id=record.run_id, reruns=None)
        deviations = [
            reason for reason in record.not_comparable_because if reason.code not in DETERMINED
        ]
        making = Making(
            method=record.method,
            seed=record.seed,
            ipc_requested=record.ipc_asked,
            time_limit=record.seconds.limit,
            limit_enforced=record.limit_enforced,
            options=record.options,
            explicit_options=tuple(record.explicit_options),
            load=record.seconds.load or 0.0,
            generate=record.seconds.generate or 0.0,
            used=record.seconds.used,
            sampled=record.sampled,
            used_real_data=record.uses_real_data,
            report=_report(record),
            origin=origin,
            deviations=tuple(deviations),
        )
        production = _decoded(making, self, self.dataset, self.limits, folder)
        if record.status == "timeout" and production.end == "done":
            production = replace(production, end="limit")
        return lambda: production


def _report(record: Record) -> Report:
    """Return what the method reported. The record holds the time of sampling as a rate."""
    rate = record.images_per_second
    seconds = record.sampled / rate if rate else None
    return msgspec.structs.replace(report_of(record), sampling_seconds=seconds)


class _Stored(Protocol):
    """An existing set."""

    @property
    def path(self) -> Path: ...

    @property
    def format(self) -> str | None: ...

    @property
    def resizes(self) -> bool: ...


def _decoded(
    making: Making, stored: _Stored, dataset: Dataset, limits: Limits, folder: Path
) -> Production:
    """Decode an existing set in a sandbox, then move its images into the run's folder.

    Args:
        making: how the set was made.
        stored: the existing set.
        dataset: its dataset.
        limits: limits of the child process.
        folder: folder of the run.

    Returns:
        The output of the source.
    """
    log = f"read from {stored.path.name}\n"
    (folder / "log.txt").write_text(log, encoding="utf-8", errors="replace")
    decoded = folder / "decoded"
    decoded.mkdir()
    try:
        reference = own_data.reference_of(dataset)
        found = sandbox.decode(
            stored.path, stored.format, reference, decoded, limits, stored.resizes
        )
        distilled = native.load(decoded, dataset)
        (decoded / native.IMAGES).rename(folder / native.IMAGES)
    except UserError as error:
        message = str(error).replace(f"{decoded}/", "").replace(f"{stored.path.parent}/", "")
        return Production(making, None, "invalid", message, "reading")
    except SandboxFailed as error:
        return Production(making, None, "error", f"reading failed: {error}", "reading")
    finally:
        shutil.rmtree(decoded, ignore_errors=True)
    if making.origin.kind == "file":
        size = dataset.image_size if found.resizes else None
        origin = replace(making.origin, format=found.name, image_size=size)
        making = replace(making, origin=origin)
    return Production(making, distilled, "done", stage="reading")
