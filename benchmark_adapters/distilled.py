"""Checks of what methods yield, before anything is trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark_adapters.types import Dataset, DistilledSet

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


class InvalidImages(Exception):
    """A method broke the contract; the message says how."""


def check_round(value: Any, dataset: Dataset) -> tuple[Array, Array, Array]:
    """A yielded round as numpy arrays: images uint8 [n, C, H, W], labels int64 [n], generated bool [n].

    Raises:
        InvalidImages: it isn't one of ``dataset``.
    """
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        raise InvalidImages(
            f"yielded {type(value).__name__}, expected a tuple (images, labels) or (images, labels, generated)"
        )
    images, labels, *rest = (_array(part) for part in value)
    shape = (dataset.channels, dataset.image_size, dataset.image_size)
    if images.dtype != np.uint8:
        nan = (
            ", some of them NaN or infinite"
            if images.dtype.kind == "f" and not np.isfinite(images).all()
            else ""
        )
        raise InvalidImages(f"yielded images of type {images.dtype}{nan}, expected uint8")
    if images.ndim != 4 or images.shape[1:] != shape:
        raise InvalidImages(
            f"yielded images of shape {list(images.shape)}, expected [n, {', '.join(map(str, shape))}]"
        )
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        raise InvalidImages(
            f"yielded labels of type {labels.dtype} and shape {list(labels.shape)}, expected int64 [{len(images)}]"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < dataset.num_classes:
        raise InvalidImages(
            f"yielded labels from {labels.min()} to {labels.max()}, expected 0 to {dataset.num_classes - 1}"
        )
    if not len(images):
        raise InvalidImages("yielded a round of no images")
    generated = rest[0] if rest else np.ones(len(images), bool)
    if generated.dtype != np.bool_ or generated.shape != labels.shape:
        raise InvalidImages(
            f"yielded marks of type {generated.dtype} and shape {list(generated.shape)}, expected bool [{len(images)}]"
        )
    return images, labels.astype(np.int64), generated


def balanced(
    images: Array, labels: Array, generated: Array, dataset: Dataset, ipc: int | None
) -> DistilledSet:
    """The first images of each class, as many as every class has and at most ``ipc``; class-major."""
    rows = class_major(labels, np.arange(len(labels)), dataset.num_classes, ipc)
    return DistilledSet(images[rows], labels[rows], dataset.class_names, generated[rows])


def class_major(labels: Array, turns: Array, classes: int, ipc: int | None) -> Array:
    """The rows of a balanced set, class by class: in each the first by ``turns``, as many as every class has and at most ``ipc``."""
    counts = np.bincount(labels, minlength=classes)
    keep = int(counts.min()) if ipc is None else min(int(counts.min()), ipc)
    by_class = np.lexsort((turns, labels))  # which keeps the order of equals
    starts = np.cumsum(counts) - counts
    rows: Array = np.concatenate([by_class[start : start + keep] for start in starts])
    return rows


def _array(part: Any) -> Array:
    """Numpy's view of a torch tensor or an array."""
    detached = part.detach().cpu() if hasattr(part, "detach") else part
    try:
        return np.asarray(detached)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidImages(
            f"yielded {type(part).__name__}, expected a tensor or an array ({error})"
        ) from None
