"""Validate images and labels, and build class-balanced sets from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation, Replacement

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


class InvalidImages(Exception):
    """Raised when a method yields something other than a batch of its dataset."""


def validate(
    images: Array, labels: Array, dataset: Dataset, where: str, dtype: str = "uint8"
) -> None:
    """Raise `UserError` unless images and labels fit the dataset.

    Args:
        images: expected to be ``dtype`` [n, C, H, W] with n > 0.
        labels: expected to be integers [n] from 0 to the number of classes - 1.
        dataset: defines C, H, W and the number of classes.
        where: prefix of the error message, for example ``yielded`` or a file name and a colon.
        dtype: expected type of the images, ``uint8`` or ``float32``.

    Raises:
        UserError: the arrays do not fit the dataset; the message starts with ``where``.
    """
    shape = (dataset.channels, dataset.image_size, dataset.image_size)
    if images.dtype != dtype:
        is_broken = images.dtype.kind == "f" and not np.isfinite(images).all()
        detail = ", some of them NaN or infinite" if is_broken else ""
        raise UserError(f"{where} images of type {images.dtype}{detail}, expected {dtype}")
    if images.ndim != 4 or images.shape[1:] != shape:
        raise UserError(
            f"{where} images of shape {list(images.shape)}, "
            f"expected [n, {', '.join(map(str, shape))}]"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise UserError(
            f"{where} labels of type {labels.dtype} and shape {list(labels.shape)}, "
            f"expected int64 [{len(images)}]"
        )
    if not len(images):
        raise UserError(f"{where} no images")
    if not 0 <= labels.min() <= labels.max() < dataset.num_classes:
        raise UserError(
            f"{where} labels from {labels.min()} to {labels.max()}, "
            f"expected 0 to {dataset.num_classes - 1}"
        )


def check_batch(value: Any, dataset: Dataset) -> tuple[Array, Array, Array]:
    """Validate a batch or a replacement that a method yielded and return it as numpy arrays.

    Returns:
        Images uint8 [n, C, H, W], labels int64 [n], and generated bool [n], which is all True if
        the method did not say which images are freshly sampled.

    Raises:
        InvalidImages: the value is not a batch of ``dataset``, or it is a replacement with more
            images of some classes than of others; the message says why.
    """
    if isinstance(value, Replacement):
        parts = (value.images, value.labels, value.generated)
        batch = check_batch(parts[: 2 if value.generated is None else 3], dataset)
        counts = np.bincount(batch[1], minlength=dataset.num_classes)
        if counts.min() != counts.max():
            raise InvalidImages(
                f"yielded a Replacement with {counts.min()} to {counts.max()} images per class, "
                "expected the same number for every class"
            )
        return batch
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        raise InvalidImages(
            f"yielded {type(value).__name__}, "
            "expected a tuple (images, labels) or (images, labels, generated), or a Replacement"
        )
    try:
        images, labels, *rest = (as_array(part, "yielded") for part in value)
        validate(images, labels, dataset, "yielded")
        generated = rest[0] if rest else np.ones(len(images), bool)
        _validate_generated(generated, len(images), "yielded")
    except UserError as error:
        raise InvalidImages(str(error)) from None
    return images, labels.astype(np.int64), generated


def class_major_set(
    images: Array,
    labels: Array,
    dataset: Dataset,
    where: str,
    generated: Array | None = None,
    provenance: Mapping[str, Any] | None = None,
    normalisation: Normalisation | None = None,
) -> DistilledSet:
    """Return a distilled set with the images sorted by class.

    Images that are already sorted are not copied, so they may be memory-mapped.

    Args:
        images: uint8 [n, C, H, W], or float32 if ``normalisation`` is given.
        labels: integers [n].
        dataset: the dataset that the images stand for.
        where: prefix of error messages, as in `validate`.
        generated: bool [n], as in `DistilledSet`; None: all True.
        provenance: facts about how the set was made.
        normalisation: mean and standard deviation per channel of float32 images.

    Returns:
        The set, in class-major order.

    Raises:
        UserError: the arrays do not fit each other or the dataset.
    """
    validate(images, labels, dataset, where, "float32" if normalisation else "uint8")
    if generated is None:
        generated = np.ones(len(labels), bool)
    _validate_generated(generated, len(labels), where)
    if (labels[1:] < labels[:-1]).any():
        order = np.argsort(labels, kind="stable")
        images, labels, generated = images[order], labels[order], generated[order]
    return DistilledSet(
        images,
        labels.astype(np.int64),
        dataset.class_names,
        generated,
        provenance or {},
        normalisation,
    )


def balanced(
    images: Array, labels: Array, generated: Array, dataset: Dataset, ipc: int | None
) -> DistilledSet:
    """Return a class-balanced set of the first images of each class.

    Args:
        images: uint8 [n, C, H, W].
        labels: int64 [n].
        generated: bool [n], as in `DistilledSet`.
        dataset: the dataset that the images stand for.
        ipc: maximum number of images per class; None: no maximum.

    Returns:
        A set with as many images in each class as the smallest class has, but at most ``ipc``.
    """
    rows = balanced_rows(labels, np.arange(len(labels)), dataset.num_classes, ipc)
    return DistilledSet(images[rows], labels[rows], dataset.class_names, generated[rows])


def balanced_rows(labels: Array, ranks: Array, num_classes: int, ipc: int | None) -> Array:
    """Return the row indices of a class-balanced set, class by class.

    Each class contributes the rows with its lowest ``ranks`` (int64 [n]), in increasing order. All
    classes contribute the same number of rows: the size of the smallest class, but at most ``ipc``.
    """
    counts = np.bincount(labels, minlength=num_classes)
    keep = int(counts.min()) if ipc is None else min(int(counts.min()), ipc)
    by_class = np.lexsort((ranks, labels))
    starts = np.cumsum(counts) - counts
    rows: Array = np.concatenate([by_class[start : start + keep] for start in starts])
    return rows


def as_array(value: Any, where: str) -> Array:
    """Return a torch tensor or an array as a numpy array, without a copy if possible.

    Raises:
        UserError: ``value`` is neither, or has a dtype that numpy does not support.
    """
    on_cpu = value.detach().cpu() if hasattr(value, "detach") else value
    try:
        return np.asarray(on_cpu)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{where} {type(value).__name__}, expected a tensor or an array ({error})"
        ) from None


def _validate_generated(generated: Array, count: int, where: str) -> None:
    if generated.dtype != np.bool_ or generated.shape != (count,):
        raise UserError(
            f"{where} 'generated' of type {generated.dtype} and shape {list(generated.shape)}, "
            f"expected bool [{count}]"
        )
