"""What a track demands of the runs that it ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RealTest:
    """The real test images of a dataset. What is None is unknown and can't be checked.

    Attributes:
        images: number of images.
        classes: number of classes.
        per_class: number of images of each class, if all classes have the same number.
        sha256: their hash, as in ``data_sha256`` of a record.
    """

    images: int | None = None
    classes: int | None = None
    per_class: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Demands:
    """The rules of a track, from its definition and not from the record of a run.

    Attributes:
        datasets: the track's datasets in its order, each with its test images.
        time_limit: seconds to generate the set of one dataset.
        ipc: the allowed images per class; empty: any number.
        recipe: name of the recipe.
        recipe_sha256: its hash.
        student: name of the student.
        repeats: the least number of evaluation seeds.
        ipc_repeats: that number for each IPC that has another one.
        real_data: whether methods may use real training images.
        devices: the number of devices that may make a set.
        rules_sha256: hash of the rules of a track from a file; empty: the track is installed.
        are_recorded: whether nobody provided the track's file, so that these are the rules on which
            all of its records agree.
    """

    datasets: Mapping[str, RealTest]
    time_limit: float
    ipc: tuple[int, ...]
    recipe: str
    recipe_sha256: str
    student: str
    repeats: int
    ipc_repeats: Mapping[int, int] = field(default_factory=dict)
    real_data: bool = True
    devices: int = 1
    rules_sha256: str = ""
    are_recorded: bool = False

    def repeats_at(self, ipc: int) -> int:
        """Return the least number of evaluation seeds for ``ipc`` images per class."""
        return self.ipc_repeats.get(ipc, self.repeats)

    def category(self, ipc: int) -> str:
        """Return the category of a run: runs of a track are ranked together within a category."""
        return f"IPC {ipc}" if len(self.ipc) > 1 else ""


def datasets(demands: Mapping[str, Demands]) -> dict[str, list[str]]:
    """Return the names of the datasets of each track."""
    return {name: list(one.datasets) for name, one in demands.items()}


def by_records(demands: Mapping[str, Demands]) -> set[str]:
    """Return the names of the tracks whose rules are known from their records alone."""
    return {name for name, one in demands.items() if one.are_recorded}
