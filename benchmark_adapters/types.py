"""Dataclasses shared by the harness and plugins. Cheap to import: no torch, no numpy.

A callable of a part may be given as its import path, ``"package.module:function"``: then only the
process that calls it imports the module.
"""

from __future__ import annotations

import hashlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from benchmark_adapters import recipe_hashes
from benchmark_adapters.budget import Budget as Budget
from benchmark_adapters.errors import UserError as UserError
from benchmark_adapters.errors import one_line as one_line
from leaderboard.text import plural

if TYPE_CHECKING:
    import numpy as np
    import torch

    Array = np.ndarray[Any, Any]
    ArrayLike = Array | torch.Tensor
    Batch = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike]

Split = Literal["train", "test"]
# Mean and standard deviation per channel, for pixels in [0, 1].
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
F = TypeVar("F", bound=Callable[..., Any])


def resolve(target: F | str) -> F:
    """Return a callable from itself or from its import path.

    Raises:
        ImportError, AttributeError, ValueError: there is nothing at the path.
    """
    return pkgutil.resolve_name(target) if isinstance(target, str) else target


@dataclass(frozen=True)
class Dataset:
    """A real image set. Listing it reads no file; `benchmark_adapters.datasets.load` reads it.

    Attributes:
        class_names: in label order: the name at position i belongs to label i.
        image_size: height and width in pixels.
        mean, std: the normalisation of the dataset's students, per channel, for pixels in [0, 1].
        read: ``(folder, split) -> (images uint8 [N, C, H, W], labels int64 [N])``; raises
            `UserError` if a file is missing, damaged or contradicts ``class_names``.
        markers: glob patterns, one of which matches inside a folder that holds the dataset.
        test_size: images of the published test split; a score on fewer is not comparable.
        get: how the user gets the files, as half a sentence.
        system_folders: where packages of Linux distributions put the files.
        synonyms: further names of each class, the first of them the class name.
        download: gets the published files into a folder; None if nobody offers them file by file.
        bundled: the folder in this package with the test split and a part of the training split.
    """

    name: str
    class_names: tuple[str, ...]
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    read: Callable[[Path, Split], tuple[Array, Array]] | str
    markers: tuple[str, ...]
    get: str
    test_size: int
    summary: str = ""
    system_folders: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    bundled: Path | None = None
    download: Callable[[Path], None] | str | None = None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class Recipe:
    """How a student is trained before it is tested.

    Recipes are frozen: a changed recipe is a new version under a new name.

    Attributes:
        student: name of the network that the recipe trains by default.
        batch_size: images per optimizer step.
        lr: the highest learning rate.
        schedule: ``one-cycle`` raises the learning rate to ``lr`` and lowers it to 0 over ``steps``
            steps (Smith & Topin, arXiv 1708.07120). ``step`` trains for ``epochs`` epochs and
            divides the learning rate by 10 once, after the epoch ``lr_drop_after``.
        augment: applied to every batch: ``dsa`` (`benchmark_adapters.dsa.augment`), ``dsa-aligned``
            (the same with ``align_corners``), ``shift`` (by up to 2 pixels) or ``none``.
        width: channels of the student's layers; None: the student's default.
        steps: one-cycle: optimizer steps, whatever the number of images.
        epochs: step: epochs that are run.
        lr_drop_after: step: index, from 0, of the last epoch at the full rate; None: no drop.
        reset_optimizer: step: whether the drop builds a new optimizer, which loses the momentum.
        momentum: of SGD.
        weight_decay: of SGD.
        normalisation: (dataset, mean, std) for each dataset that the recipe normalises differently
            from the dataset's own mean and standard deviation.
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
    normalisation: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        """Raise `ValueError` if the fields don't say what happens."""
        if self.schedule not in ("one-cycle", "step"):
            raise ValueError(f"schedule {self.schedule!r}: expected one-cycle or step")
        if self.schedule == "one-cycle":
            if self.steps is None:
                raise ValueError(f"recipe {self.name}: one-cycle needs steps")
            return
        if self.epochs is None:
            raise ValueError(f"recipe {self.name}: step needs epochs")
        if self.lr_drop_after is not None and not 0 <= self.lr_drop_after < self.epochs:
            raise ValueError(
                f"recipe {self.name}: lr_drop_after {self.lr_drop_after} is none of its "
                f"{self.epochs} {plural(self.epochs, 'epoch')}"
            )

    def normalises(self, dataset: Dataset) -> Normalisation:
        """Return the mean and standard deviation per channel with which students see a dataset."""
        overrides = {name: (mean, std) for name, mean, std in self.normalisation}
        return overrides.get(dataset.name, (dataset.mean, dataset.std))

    @property
    def sha256(self) -> str:
        """Hash of everything that decides a score."""
        settings = {key: value for key, value in asdict(self).items() if key != "summary"}
        # Hashes of recipes that don't use a newer field are older than the field.
        for name, unset in (
            ("normalisation", ()),
            ("lr_drop_after", None),
            ("reset_optimizer", False),
        ):
            if settings[name] == unset:
                del settings[name]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        return recipe_hashes.PUBLISHED.get(digest, digest)


@dataclass(frozen=True)
class Track:
    """A challenge. Frozen and versioned.

    Attributes:
        time_limit: seconds for making one dataset's distilled set, from the start of the method's
            process.
        ipc: the images per class that count; empty: any number.
        default_ipc: what a run asks for by default; None: as many as fit into the limit.
        recipe: name of the recipe.
        repeats: number of evaluation seeds.
        bundled_data: take the real images from the package, so that everybody has the same.
        real_data: a method may use real training images.
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


@dataclass(frozen=True)
class Option:
    """A method's setting, ``--option name=value``.

    Attributes:
        choices: allowed values; empty: any value of ``type``.
        check: raises `ValueError` for a value that is not allowed.
    """

    name: str
    type: type[str] | type[int] | type[float] | type[bool]
    default: str | int | float | bool | None
    help: str
    choices: tuple[str, ...] = ()
    check: Callable[[Any], object] | None = None


@dataclass(frozen=True)
class Task:
    """What a method is asked for: one dataset of one track.

    Attributes:
        device: a torch device name, ``cpu``, ``cuda`` or ``mps``.
        ipc: images per class; None: as many as the budget allows.
        options: the values of the method's options, defaults filled in.
        training_images: ``() -> (images uint8 [N, C, H, W], labels int64 [N])``, real ones; the
            record says that they were used. Raises `UserError` if the track has none.
        ready: called once, when the model is loaded, with what the record should tell: ``model``,
            ``model_sha256``, ``model_trained_on``, ``batch`` and whatever else describes how the
            images are made.
        report: tells more of this at any time.
        part, parts: if several processes make one set, which of them this is, from 0, and how many
            there are. It makes the images with index ``part``, ``part + parts``, ... in their
            class.
    """

    track: str
    dataset: Dataset
    seed: int
    device: str
    ipc: int | None
    options: Mapping[str, Any]
    training_images: Callable[[], tuple[Array, Array]]
    ready: Callable[..., None]
    report: Callable[..., None] = lambda **values: None
    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class Method:
    """Turns a task into labelled images within a budget.

    ``distill(task, budget)`` is a generator of batches ``(images uint8 [n, C, H, W], labels int64
    [n])``, torch or numpy, that goes round-robin over the classes, so that a cut leaves a balanced
    set. A third element, bool [n], marks the freshly sampled images if others are augmented copies
    of them. Import what is heavy inside it.

    Attributes:
        divisible: it heeds ``task.part``, so that several processes make a set together; each ends
            by itself once its part is whole.
    """

    name: str
    distill: Callable[[Task, Budget], Iterator[Batch]] | str
    options: tuple[Option, ...] = ()
    summary: str = ""
    divisible: bool = False


@dataclass(frozen=True)
class Student:
    """A fixed network.

    ``build(num_classes, image_size, channels, width)`` returns an initialised ``torch.nn.Module``.
    """

    name: str
    build: Callable[[int, int, int, int | None], torch.nn.Module] | str
    summary: str = ""


@dataclass(frozen=True)
class Format:
    """A way to store distilled sets.

    Attributes:
        write: ``(sets by dataset name, folder)``; the folder is empty, and each set comes with its
            dataset.
        read: ``(path, dataset)`` of a file or folder that others sent, in a process with limits;
            raises `UserError` for what is missing or wrong, and executes nothing. The set may have
            other counts or values than it should.
        find: the files that ``read`` would read at a path, none if it holds no set of the dataset.
        write_truth: writes the real test images for the format's own evaluator, as ``write`` does;
            None: it needs none.
    """

    name: str
    write: Callable[[Mapping[str, tuple[Dataset, DistilledSet]], Path], None] | str
    read: Callable[[Path, Dataset], DistilledSet] | str
    find: Callable[[Path, Dataset], list[Path]] | str
    write_truth: (
        Callable[[Mapping[str, tuple[Dataset, tuple[Array, Array]]], Path], None] | str | None
    ) = None
    summary: str = ""


@dataclass(frozen=True)
class DistilledSet:
    """A tiny training set.

    Attributes:
        images: uint8 [N, C, H, W], class-major; or float32, for sets that were optimised and left
            the range of pixels.
        labels: int64 [N].
        class_names: in label order.
        generated: bool [N], True where an image is no augmented copy of another.
        provenance: what is known of its making.
        normalisation: of float32 images.
    """

    images: Array
    labels: Array
    class_names: tuple[str, ...]
    generated: Array
    provenance: Mapping[str, Any] = field(default_factory=dict)
    normalisation: Normalisation | None = None

    @property
    def ipc(self) -> int:
        """Images per class."""
        return len(self.labels) // len(self.class_names)

    @property
    def generated_per_class(self) -> float:
        return float(self.generated.sum()) / len(self.class_names)

    @property
    def sha256(self) -> str:
        """Hash of shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for image in self.images:  # one by one, since they may lie on disk
            digest.update(image.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()
