"""Published results with their sources, shown for reference and never ranked with runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class PublishedResult:
    """A published accuracy.

    Attributes:
        dataset: name of the dataset.
        method: name of the method.
        ipc: images per class. None means the whole training set.
        accuracy: the accuracy as a fraction.
        student: the network that was trained.
        protocol: the training protocol, in words.
        source: name of the source. Empty if unknown.
        url: address of the source. Empty if unknown.
        verified: whether someone has checked the figure against its source.
        tracks: the tracks whose evaluation the figure followed, according to its source. Empty if
            it followed another evaluation, which ``protocol`` describes.
    """

    dataset: str
    method: str
    ipc: int | None
    accuracy: float
    student: str
    protocol: str
    source: str
    url: str
    verified: bool
    tracks: tuple[str, ...] = ()


@cache
def load(path: Path = FILE) -> tuple[PublishedResult, ...]:
    """Return all published results in ``path``, a TOML file with a table per source and dataset."""
    import tomllib

    tables = tomllib.loads(path.read_text(encoding="utf-8"))["published"]
    return tuple(result for table in tables for result in _results(table))


def _results(table: dict[str, Any]) -> Iterator[PublishedResult]:
    for method, percents in table["percent"].items():
        for ipc, percent in zip(table["ipc"], percents, strict=True):
            if math.isnan(percent):
                continue
            yield PublishedResult(
                dataset=table["dataset"],
                method=method,
                ipc=ipc or None,
                accuracy=percent / 100,
                student=table["student"],
                protocol=table["protocol"],
                source=table["source"],
                url=table.get("url", ""),
                verified=table.get("verified", False),
                tracks=tuple(table.get("tracks", ())),
            )


def matching(
    track: str,
    dataset: str,
    ipcs: Iterable[int],
    results: Iterable[PublishedResult] | None = None,
) -> list[PublishedResult]:
    """Return the results to show next to runs of ``track`` on ``dataset``, best first for each IPC.

    Each has one of ``ipcs`` images per class. If there are any, results for the whole training set
    are added. ``results`` defaults to those bundled with this package.
    """
    wanted = set(ipcs)
    of_dataset = [
        result
        for result in (load() if results is None else results)
        if result.dataset == dataset and (not result.tracks or track in result.tracks)
    ]
    if not any(result.ipc in wanted for result in of_dataset):
        return []
    return sorted(
        (result for result in of_dataset if result.ipc is None or result.ipc in wanted),
        key=lambda result: (result.ipc or math.inf, -result.accuracy, result.method),
    )
