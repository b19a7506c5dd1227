"""The results of scoring: of a seed, over the seeds, and kept on disk until their record is written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """Of one seed: final accuracy, a fraction; ``confusion`` counts [true][predicted]; seconds that it took."""

    accuracy: float
    confusion: list[list[int]]
    seconds: float


@dataclass(frozen=True)
class Score:
    """Final accuracies, one for each seed; ``confusion`` is summed over them."""

    accuracies: list[float]
    confusion: list[list[int]]

    @classmethod
    def of(cls, results: Sequence[Result]) -> Score:
        confusion = [
            [sum(cells) for cells in zip(*rows, strict=True)]
            for rows in zip(*(result.confusion for result in results), strict=True)
        ]
        return cls([result.accuracy for result in results], confusion)


class Kept:
    """Results in a folder, a file for each, named by what decides them: a score that was killed goes on at the next seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: list[Path] = []

    def get(self, key: str) -> Result | None:
        """What was kept under ``key``, if anything that can be read."""
        self._files.append(self.folder / f"{key}.json")
        try:
            return Result(**json.loads(self._files[-1].read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def put(self, key: str, result: Result) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        whole, part = self.folder / f"{key}.json", self.folder / f".{key}.{os.getpid()}"
        part.write_text(json.dumps(asdict(result)))
        part.rename(whole)

    def forget(self) -> None:
        """Removes what this score has kept or found."""
        for file in self._files:
            file.unlink(missing_ok=True)
