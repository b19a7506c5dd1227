"""Scoring results, and the folder that keeps those of finished seeds until their run ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from benchmark_adapters.files import read_bounded, replacing
from benchmark_adapters.scoring.backend_names import BackendName

# With 1,000 classes, the confusion matrix takes 7 MB.
MAX_BYTES = 16 * 2**20
# Largest difference between an accuracy and the share of its confusion counts.
ROUNDING = 1e-9

Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Text = Annotated[str, Meta(max_length=1000)]


class SeedResult(msgspec.Struct, frozen=True):
    """The result of one evaluation seed.

    Attributes:
        accuracy: test accuracy after the last epoch, as a fraction.
        confusion: counts of test images, indexed [true class][predicted class].
        seconds: duration of training and testing.
        backend: the backend that trained the student.
        fallback: why the backend is slower than planned or requested; None: it isn't.
        cache_key: hash of everything that determines the result.
        student, seed: what was trained, for those who look for what is missing.
    """

    accuracy: Fraction
    confusion: list[list[Count]]
    seconds: Seconds
    backend: BackendName
    fallback: Text | None
    cache_key: str
    student: Text
    seed: Count

    def fits(self, class_sizes: Sequence[int]) -> bool:
        """Return whether the counts can be those of a test split, and the accuracy theirs.

        Args:
            class_sizes: number of test images of each class.
        """
        if [sum(row) for row in self.confusion] != list(class_sizes):
            return False
        if any(len(row) != len(class_sizes) for row in self.confusion):
            return False
        right = sum(row[label] for label, row in enumerate(self.confusion))
        return math.isclose(self.accuracy, right / sum(class_sizes), rel_tol=0, abs_tol=ROUNDING)


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

    def get(self, cache_key: str, class_sizes: Sequence[int]) -> SeedResult | None:
        """Return the stored result, or None if it is missing or can't be one of this test split.

        Args:
            cache_key: hash of everything that determines the result.
            class_sizes: number of test images of each class.
        """
        path = self._path(cache_key)
        try:
            if path.is_symlink() or self.folder.is_symlink():
                return None
            result = msgspec.json.decode(read_bounded(path, MAX_BYTES), type=SeedResult)
        except (OSError, ValueError, RecursionError):
            return None
        return result if result.cache_key == cache_key and result.fits(class_sizes) else None

    def put(self, result: SeedResult) -> None:
        """Store a result; the file is written atomically."""
        with replacing(self._path(result.cache_key)) as temporary:
            temporary.write_bytes(msgspec.json.encode(result))

    def _path(self, cache_key: str) -> Path:
        return self.folder / f"{cache_key}.json"
