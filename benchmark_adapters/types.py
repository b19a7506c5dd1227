"""Dataclasses shared by the harness and plugins. Cheap to import: no torch, no numpy.

Where a field takes a callable, an import path ``"package.module:function"`` works too. Only the
process that calls the function then imports the module.
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
    """Return ``target`` itself, or the callable at the import path ``target``.

    Raises:
        ImportError, AttributeError, ValueError: the import path leads nowhere.
    """
    return pkgutil.resolve_name(target) if isinstance(target, str) else target


@dataclass(frozen=True)
class Dataset:
    """A real image dataset. `benchmark_adapters.datasets.load` reads its files.

    Attributes:
        class_names: in label order: label i is ``class_names[i]``.
        image_size: height and width in pixels.
        mean: mean per channel of pixels in [0, 1], for normalising the students' input.
        std: standard deviation per channel of pixels in [0, 1].
        read: ``(folder, split) -> (images uint8 [N, C, H, W], labels int64 [N])``. Raises
            `UserError` if a file is missing, damaged or contradicts ``class_names``.
        markers: glob patterns. A folder holds the dataset if one of them matches inside it.
        test_size: number of images in the published test split. A score on fewer images is not
            comparable.
        get: how to get the files, as a clause that completes an error message.
        system_folders: where Linux distribution packages install the files.
        synonyms: all names of each class, starting with the class name.
        download: downloads the published files into a folder; None if that is not supported.
        bundled: folder in this package with the test split and part of the training split.
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

    Recipes are frozen: a changed recipe needs a new version in its name.

    Attributes:
        student: name of the network that the recipe trains by default.
        batch_size: images per optimizer step.
        lr: the maximum learning rate.
        schedule: ``one-cycle`` raises the learning rate to ``lr`` and lowers it to 0 over ``steps``
            steps (Smith & Topin, arXiv 1708.07120). ``step`` trains for ``epochs`` epochs and
            divides the learning rate by 10 once, after the epoch ``lr_drop_after``.
        augment: augmentation of every batch: ``dsa`` (`benchmark_adapters.dsa.augment`),
            ``dsa-aligned`` (the same with ``align_corners``), ``shift`` (by up to 2 pixels) or
            ``none``.
        width: channels of the student's layers; None: the student's default.
        steps: optimizer steps of a one-cycle recipe, independent of the number of images.
        epochs: epochs of a step recipe.
        lr_drop_after: zero-based index of the last epoch of a step recipe at the full learning
            rate; None: no drop.
        reset_optimizer: whether the drop of a step recipe creates a new optimizer, which loses the
            momentum.
        momentum: SGD momentum.
        weight_decay: SGD weight decay.
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
        if self.epochs is None:
            raise ValueError(f"recipe {self.name}: step needs epochs")
        if self.lr_drop_after is not None and not 0 <= self.lr_drop_after < self.epochs:
            raise ValueError(
                f"recipe {self.name}: lr_drop_after {self.lr_drop_after} is not one of its "
                f"{self.epochs} {plural(self.epochs, 'epoch')}"
            )

    def normalises(self, dataset: Dataset) -> Normalisation:
        """Return the mean and standard deviation per channel that normalise a dataset's images."""
        overrides = {name: (mean, std) for name, mean, std in self.normalisation}
        return overrides.get(dataset.name, (dataset.mean, dataset.std))

    @property
    def sha256(self) -> str:
        """Return the hash of all fields that affect a score."""
        settings = {key: value for key, value in asdict(self).items() if key != "summary"}
        # Adding a field must not change the hashes of recipes that don't use it.
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
    """A challenge: datasets, rules and a recipe. Tracks are frozen, as recipes are.

    Attributes:
        time_limit: seconds to generate the distilled set of one dataset, from the start of the
            method's process.
        ipc: the IPC values (images per class) that count for the track; empty: any.
        default_ipc: the IPC of a run by default; None: as many images as the limit allows.
        recipe: name of the recipe.
        repeats: number of evaluation seeds.
        bundled_data: whether the real images come from this package, the same for everybody.
        real_data: whether methods may use real training images.
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
    """A setting of a method, given as ``--option name=value``.

    Attributes:
        choices: allowed values; empty: any value of ``type``.
        check: raises `ValueError` if a value is not allowed.
    """

    name: str
    type: type[str] | type[int] | type[float] | type[bool]
    default: str | int | float | bool | None
    help: str
    choices: tuple[str, ...] = ()
    check: Callable[[Any], object] | None = None


@dataclass(frozen=True)
class Task:
    """The input of a method: a request for the distilled set of one dataset of one track.

    Attributes:
        device: a torch device name, ``cpu``, ``cuda`` or ``mps``.
        ipc: images per class; None: as many as the budget allows.
        options: the values of the method's options, including defaults.
        training_images: ``() -> (images uint8 [N, C, H, W], labels int64 [N])``, the real training
            images. A call is noted in the record. Raises `UserError` if the track has none.
        ready: call it once, when the model is loaded, with metadata for the record: ``model``,
            ``model_sha256``, ``model_trained_on``, ``batch`` and anything else that describes how
            the images are generated.
        report: adds metadata to the record at any time.
        part: index of this process, from 0, if several processes generate one set. It generates
            the images whose index within their class is ``part``, ``part + parts``, ...
        parts: number of processes that generate the set.
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
    """An algorithm that turns a task into labelled images within a budget.

    ``distill(task, budget)`` is a generator of batches ``(images uint8 [n, C, H, W], labels int64
    [n])``, torch or numpy. It should cycle through the classes, so that the set is balanced even
    if the time limit cuts it short. Batches with augmented copies have a third element, bool [n],
    which is True for freshly sampled images. Heavy imports belong inside the function.

    Attributes:
        divisible: whether the method honours ``task.part``, so that several processes can share a
            set. Each process stops by itself once its part is complete.
    """

    name: str
    distill: Callable[[Task, Budget], Iterator[Batch]] | str
    options: tuple[Option, ...] = ()
    summary: str = ""
    divisible: bool = False


@dataclass(frozen=True)
class Student:
    """A fixed network architecture.

    ``build(num_classes, image_size, channels, width)`` returns an initialised ``torch.nn.Module``.
    A ``width`` of None stands for the student's default.
    """

    name: str
    build: Callable[[int, int, int, int | None], torch.nn.Module] | str
    summary: str = ""


@dataclass(frozen=True)
class Format:
    """A file format for distilled sets.

    Attributes:
        write: ``(sets by dataset name, folder)``: writes into an empty folder. Each set is paired
            with its dataset.
        read: ``(path, dataset)``: reads an untrusted file or folder, in a process with limits.
            Raises `UserError` if something is missing or wrong, and executes nothing. Counts,
            values and the class order are checked later.
        find: returns the files at a path that ``read`` would read; empty if there is no set of the
            dataset.
        write_truth: like ``write``, for the real test images that the format's own evaluator needs;
            None if it needs none.
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
    """A small training set that stands in for a dataset.

    Attributes:
        images: uint8 [N, C, H, W], class-major; or normalised float32 for optimised sets, whose
            pixels are not bytes.
        labels: int64 [N].
        class_names: in label order.
        generated: bool [N], True for generated images, False for augmented copies and real images.
        provenance: facts about how the set was made.
        normalisation: mean and standard deviation per channel of float32 images; None for uint8.
    """

    images: Array
    labels: Array
    class_names: tuple[str, ...]
    generated: Array
    provenance: Mapping[str, Any] = field(default_factory=dict)
    normalisation: Normalisation | None = None

    @property
    def ipc(self) -> int:
        """Return the number of images per class."""
        return len(self.labels) // len(self.class_names)

    @property
    def generated_per_class(self) -> float:
        return float(self.generated.sum()) / len(self.class_names)

    @property
    def sha256(self) -> str:
        """Return the hash of shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        # One at a time, because memory-mapped images may not fit into memory.
        for image in self.images:
            digest.update(image.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()
