"""Results of scoring, and their cache on disk: an interrupted score goes on at the next seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmark_adapters.files import replacing
from benchmark_adapters.scoring.backend_names import BackendName


class SeedResult(msgspec.Struct, frozen=True):
    """The result of one evaluation seed.

    Attributes:
        accuracy: after the last epoch, a fraction.
        confusion: counts of test images, [true class][predicted class].
        seconds: for training and testing.
        backend: what trained the student.
        fallback: why a slower backend was used than planned; None: it was the planned one.
        cache_key: hash of everything that decides the result.
    """

    accuracy: float
    confusion: list[list[int]]
    seconds: float
    backend: BackendName
    fallback: str | None
    cache_key: str


class Score(msgspec.Struct, frozen=True):
    """The results of all seeds: an accuracy for each, and the sum of their confusion counts."""

    accuracies: list[float]
    confusion: list[list[int]]

    @classmethod
    def of(cls, results: Sequence[SeedResult]) -> Score:
        """Collect the results of at least one seed."""
        confusion = [
            [sum(cells) for cells in zip(*rows, strict=True)]
            for rows in zip(*(result.confusion for result in results), strict=True)
        ]
        return cls([result.accuracy for result in results], confusion)


class SeedCache:
    """Results in a folder, each in a file that is named by the result's cache key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, cache_key: str) -> SeedResult | None:
        """Return the stored result; None where there is none, or it is damaged."""
        path = self._path(cache_key)
        try:
            result = msgspec.json.decode(path.read_bytes(), type=SeedResult)
        except (OSError, msgspec.MsgspecError):
            return None
        return result if result.cache_key == cache_key else None

    def put(self, result: SeedResult) -> None:
        """Store a result; the file appears as a whole."""
        with replacing(self._path(result.cache_key)) as temporary:
            temporary.write_bytes(msgspec.json.encode(result))

    def forget(self, cache_keys: Iterable[str]) -> None:
        """Remove results."""
        for cache_key in cache_keys:
            self._path(cache_key).unlink(missing_ok=True)

    def _path(self, cache_key: str) -> Path:
        return self.folder / f"{cache_key}.json"
