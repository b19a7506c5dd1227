"""Scoring results, and their on-disk cache, which lets interrupted scoring resume."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmark_adapters.files import replacing
from benchmark_adapters.scoring.backend_names import BackendName


class SeedResult(msgspec.Struct, frozen=True):
    """The result of one evaluation seed.

    Attributes:
        accuracy: test accuracy after the last epoch, as a fraction.
        confusion: counts of test images, indexed [true class][predicted class].
        seconds: duration of training and testing.
        backend: the backend that trained the student.
        fallback: why the backend is slower than planned or requested; None: it isn't.
        cache_key: hash of everything that determines the result.
    """

    accuracy: float
    confusion: list[list[int]]
    seconds: float
    backend: BackendName
    fallback: str | None
    cache_key: str


class Score(msgspec.Struct, frozen=True):
    """The results of all seeds: one accuracy per seed, and the sum of their confusion counts."""

    accuracies: list[float]
    confusion: list[list[int]]

    @classmethod
    def of(cls, results: Sequence[SeedResult]) -> Score:
        """Combine the results of at least one seed."""
        confusion = [
            [sum(cells) for cells in zip(*rows, strict=True)]
            for rows in zip(*(result.confusion for result in results), strict=True)
        ]
        return cls([result.accuracy for result in results], confusion)


class SeedCache:
    """A folder of results, each in a file named after its cache key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, cache_key: str) -> SeedResult | None:
        """Return the stored result, or None if it is missing or damaged."""
        path = self._path(cache_key)
        try:
            result = msgspec.json.decode(path.read_bytes(), type=SeedResult)
        except (OSError, msgspec.MsgspecError):
            return None
        return result if result.cache_key == cache_key else None

    def put(self, result: SeedResult) -> None:
        """Store a result; the file is written atomically."""
        with replacing(self._path(result.cache_key)) as temporary:
            temporary.write_bytes(msgspec.json.encode(result))

    def forget(self, cache_keys: Iterable[str]) -> None:
        """Delete the results with these keys."""
        for cache_key in cache_keys:
            self._path(cache_key).unlink(missing_ok=True)

    def _path(self, cache_key: str) -> Path:
        return self.folder / f"{cache_key}.json"
