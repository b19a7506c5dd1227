"""Published results, for orientation: with their source, never ranked among runs."""

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
        ipc: images per class; None: the whole training set.
        accuracy: a fraction.
        protocol: how the students were trained.
        verified: somebody has read the figure in its source.
        tracks: the tracks whose evaluation it followed, as its source says; empty: another
            evaluation, which ``protocol`` describes.
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
    """Return all published results in ``path``, a TOML file of tables by source and dataset."""
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
    """Return the results to show next to runs of ``track`` on ``dataset``; best first for each IPC.

    They have one of ``ipcs`` images per class. The result of the whole training set is added where
    there are others. ``results`` defaults to those of this package.
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
