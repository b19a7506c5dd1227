"""Tracks, recipes and students: the rules of a challenge."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from benchmark_adapters.types import recipe_hashes
from benchmark_adapters.types.data import Dataset, Normalisation
from leaderboard.text import plural

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Recipe:
    """How a student is trained before it is tested.

    Recipes are frozen: a changed recipe needs a new version in its name.

    Attributes:
        student: name of the network that the recipe trains by default.
        batch_size: images per optimizer step.
        lr: the maximum learning rate.
        schedule: ``one-cycle`` raises the learning rate to ``lr`` and lowers it to 0 over ``steps``
            steps (Smith & Topin, arXiv 1708.07120). ``step`` trains for ``epochs`` epochs and
            divides the learning rate by 10 once, after the epoch ``lr_drop_after``. If it has
            ``steps`` instead, it trains for the fewest whole epochs with that many steps.
        augment: augmentation of every batch: ``dsa`` (`benchmark_adapters.dsa.augment`),
            ``dsa-aligned`` (the same with ``align_corners``), ``shift`` (by up to 2 pixels) or
            ``none``.
        width: channels of the student's layers; None: the student's default.
        steps: optimizer steps, independent of the number of images.
        epochs: epochs of a step recipe without ``steps``.
        lr_drop_after: zero-based index of the last epoch of a step recipe at the full learning
            rate; None: no drop. A recipe with ``steps`` drops it as the argument ``epochs`` of
            `benchmark_adapters.training.train` does.
        reset_optimizer: whether the drop of a step recipe creates a new optimizer, which loses the
            momentum.
        momentum: SGD momentum.
        weight_decay: SGD weight decay.
        tf32_convolutions: whether convolutions round their operands to TF32 on GPUs that can, which
            is PyTorch's default. CPUs always compute in float32.
        normalisation: (dataset, mean, std) for each dataset that the recipe does not normalise
            with the dataset's own mean and standard deviation.
        summary: one line for ``ddbench list``.
    """

    name: str
    student: str
    batch_size: int
    lr: float
    schedule: Literal["one-cycle", "step"]
    augment: Literal["dsa", "dsa-aligned", "shift", "none"]
    width: int | None = None
    steps: int | None = None
    epochs: int | None = None
    lr_drop_after: int | None = None
    reset_optimizer: bool = False
    momentum: float = 0.9
    weight_decay: float = 5e-4
    tf32_convolutions: bool = False
    normalisation: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        """Raise `ValueError` if fields are missing or contradict each other."""
        if self.schedule not in ("one-cycle", "step"):
            raise ValueError(f"schedule {self.schedule!r}: expected one-cycle or step")
        if self.schedule == "one-cycle":
            if self.steps is None:
                raise ValueError(f"recipe {self.name}: one-cycle needs steps")
            return
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"recipe {self.name}: step needs either epochs or steps")
        if self.epochs is None:
            if self.lr_drop_after is not None:
                raise ValueError(f"recipe {self.name}: lr_drop_after needs epochs")
            return
        if self.lr_drop_after is not None and not 0 <= self.lr_drop_after < self.epochs:
            raise ValueError(
                f"recipe {self.name}: lr_drop_after {self.lr_drop_after} is not one of its "
                f"{self.epochs} {plural(self.epochs, 'epoch')}"
            )

    def normalises(self, dataset: Dataset) -> Normalisation:
        """Return the mean and standard deviation per channel that normalise a dataset's images."""
        overrides = {name: (mean, std) for name, mean, std in self.normalisation}
        return overrides.get(dataset.name, (dataset.mean, dataset.std))

    def image_passes(self, images: int) -> int:
        """Return how often images are shown to a student in all, for a set of ``images``."""
        if self.schedule == "one-cycle":
            return (self.steps or 0) * min(self.batch_size, images)
        return self.epochs_for(images) * images

    def epochs_for(self, images: int) -> int:
        """Return the number of epochs of a step recipe, for a set of ``images``."""
        if self.steps is None:
            return self.epochs or 0
        return math.ceil(self.steps / math.ceil(images / self.batch_size))

    @property
    def sha256(self) -> str:
        """Return the hash of all fields that affect a score."""
        settings = {key: value for key, value in asdict(self).items() if key != "summary"}
        # Adding a field must not change the hashes of recipes that don't use it.
        for name, unset in (
            ("normalisation", ()),
            ("lr_drop_after", None),
            ("reset_optimizer", False),
            ("tf32_convolutions", False),
        ):
            if settings[name] == unset:
                del settings[name]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        return recipe_hashes.PUBLISHED.get(digest, digest)


@dataclass(frozen=True)
class Track:
    """A challenge: datasets, rules and a recipe. Tracks are frozen, as recipes are.

    Attributes:
        time_limit: seconds to generate the distilled set of one dataset, from the start of the
            method's process.
        ipc: the IPC values (images per class) that count for the track; empty: any.
        default_ipc: the IPC of a run by default; None: as many images as the limit allows.
        recipe: name of the recipe.
        repeats: number of evaluation seeds.
        ipc_repeats: (IPC, number of evaluation seeds) for each IPC with another number of them.
        bundled_data: whether the real images come from this package, the same for everybody.
        real_data: whether methods may use real training images.
        student: the student to train instead of the recipe's.
        devices: the number of devices that may make a set together: GPUs, or machines without
            one. 1: any one machine, whatever is in it.
        sources: (dataset name, reference) for each dataset that is a folder.
        sha256: hash of the rules of a track from a file. Installed tracks are known by their name.
    """

    name: str
    datasets: tuple[str, ...]
    time_limit: float
    ipc: tuple[int, ...]
    default_ipc: int | None
    recipe: str
    repeats: int
    bundled_data: bool = False
    real_data: bool = True
    summary: str = ""
    ipc_repeats: tuple[tuple[int, int], ...] = ()
    student: str = ""
    devices: int = 1
    sources: tuple[tuple[str, str], ...] = ()
    sha256: str = ""

    def repeats_at(self, ipc: int | None) -> int:
        """Return the number of evaluation seeds of a set with ``ipc`` images per class."""
        return dict(self.ipc_repeats).get(ipc or 0, self.repeats)


@dataclass(frozen=True)
class Student:
    """A fixed network architecture.

    ``build(num_classes, image_size, channels, width)`` returns an initialised ``torch.nn.Module``.
    A ``width`` of None stands for the student's default.
    """

    name: str
    build: Callable[[int, int, int, int | None], torch.nn.Module] | str
    summary: str = ""
