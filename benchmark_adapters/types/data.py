"""Datasets, distilled sets and their file formats."""

from __future__ import annotations

import hashlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

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
        folder_names: other names of the classes, which folders of images may have, such as WordNet
            IDs.
        prompts: the text for each class that a text-to-image model gets; empty: made from the class
            names.
        download: downloads the published files into a folder; None if that is not supported.
        bundled: folder in this package with the test split and part of the training split.
        folder: the folder that ``read`` gets; None: the first one that holds the dataset.
        missing: ``(folder, split) -> names``: what a folder that holds the dataset lacks of a
            split; None: the dataset can't tell.
        reference: how a folder of one's own was named, with DIR for its path.
        has_disjoint_splits: whether it is known that no image is in both splits. Then a copy of a
            test image is one, whether or not the training split is available.
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
    prompts: tuple[str, ...] = ()
    folder_names: tuple[str, ...] = ()
    folder: Path | None = None
    reference: str = ""
    missing: Callable[[Path, Split], list[str]] | str | None = None
    has_disjoint_splits: bool = False

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


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
        read_resized: like ``read``, for pictures of any size, which it resizes to that of the
            dataset; None: the format does not hold such pictures.
    """

    name: str
    write: Callable[[Mapping[str, tuple[Dataset, DistilledSet]], Path], None] | str
    read: Callable[[Path, Dataset], DistilledSet] | str
    find: Callable[[Path, Dataset], list[Path]] | str
    write_truth: (
        Callable[[Mapping[str, tuple[Dataset, tuple[Array, Array]]], Path], None] | str | None
    ) = None
    summary: str = ""
    read_resized: Callable[[Path, Dataset], DistilledSet] | str | None = None
