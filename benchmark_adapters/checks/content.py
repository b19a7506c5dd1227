"""Check the content of a distilled set before anything is trained on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark_adapters.checks.normalisation import check_normalisation, check_values
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation
from leaderboard.records.record import Finding
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

# An image counts as constant if its pixels span less than this share of the pixel range.
MIN_RANGE = 0.02
# Share of the values that must be in a range for a verdict on the normalisation.
MIN_SHARE = 0.99
# Classes or images listed in a message.
MAX_NAMED = 5


def inspect(distilled: DistilledSet, dataset: Dataset) -> list[Finding]:
    """Return all findings that need no real images; empty if nothing is wrong."""
    findings = list(_check_counts(distilled.labels, dataset))
    if distilled.normalisation is not None:
        images, normalisation = distilled.images, distilled.normalisation
        # The first explanation of the values counts.
        findings += (
            list(_check_values(images, normalisation))
            or list(check_normalisation(images, normalisation))
            or list(check_values(images, normalisation))
        )
    if not any(finding.level == "error" for finding in findings):
        is_constant = _constant_images(distilled)
        findings += _check_constant(is_constant, distilled.labels, dataset)
        findings += _check_duplicates(distilled, dataset)
        findings += _check_constant_classes(is_constant, distilled.labels, dataset)
    return findings


def _check_counts(labels: Array, dataset: Dataset) -> Iterator[Finding]:
    counts = np.bincount(labels, minlength=dataset.num_classes)
    usual = int(np.bincount(counts).argmax())
    odd = np.flatnonzero(counts != usual)
    if len(odd):
        classes = _list([f"{counts[label]} in {_class(int(label), dataset)}" for label in odd])
        yield Finding(
            "error",
            "class-counts",
            f"classes have different numbers of images: {usual} in most, but {classes}",
        )


def _check_values(images: Array, normalisation: Normalisation) -> Iterator[Finding]:
    """Check that float images are finite and look as if they were normalised exactly once."""
    is_finite = np.isfinite(images).all((1, 2, 3))
    if not is_finite.all():
        broken = np.flatnonzero(~is_finite)
        yield Finding(
            "error",
            "not-finite",
            f"{len(broken)} of {len(images)} images {plural(len(broken), 'has', 'have')} NaN or "
            "infinite values; "
            f"the first is image {broken[0]}",
        )
        return
    mean, std = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in normalisation)
    if not mean.any() and (std == 1).all():
        # The format stores pixels in [0, 1] as they are.
        return
    # In [0, 1] if the images were normalised exactly once.
    pixels = images * std + mean
    low, high = float(images.min()), float(images.max())
    expected = (
        f"but normalised pixels range from {float((-mean / std).min()):.2f} "
        f"to {float(((1 - mean) / std).max()):.2f}"
    )
    if _lie_within(images, -0.001, 1.001) and low >= -0.001:
        yield Finding(
            "error",
            "unnormalised",
            f"images look unnormalised: their values range from {low:.2f} to {high:.2f}, "
            f"{expected}",
        )
    elif _lie_within(images, -0.1, 255.1) and high > 20:
        yield Finding(
            "error",
            "unnormalised",
            f"images look unnormalised: their values range from {low:.1f} to {high:.1f} "
            f"like bytes, {expected}",
        )
    elif _lie_within(pixels * std + mean, -0.01, 1.01) and not _lie_within(
        pixels, -0.2, 1.2, min_share=0.65
    ):
        yield Finding(
            "error",
            "normalised-twice",
            "images look normalised twice: undoing the normalisation twice yields pixels; "
            f"their values range from {low:.2f} to {high:.2f}, {expected}",
        )
    elif not _lie_within(pixels, -2, 3):
        yield Finding(
            "warning",
            "far-values",
            "many values are far from those of pixels: "
            f"they range from {low:.2f} to {high:.2f}, {expected}",
        )


def _lie_within(values: Array, low: float, high: float, min_share: float = MIN_SHARE) -> bool:
    return bool(((values >= low) & (values <= high)).mean() >= min_share)


def _constant_images(distilled: DistilledSet) -> Array:
    """Return bool [n], True for images whose pixels are all nearly equal."""
    norm = distilled.normalisation
    pixel_range = 255.0 if norm is None else 1 / max(norm[1])
    ranges = [float(image.max()) - float(image.min()) for image in distilled.images]
    return np.array(ranges) < MIN_RANGE * pixel_range


def _check_constant(is_constant: Array, labels: Array, dataset: Dataset) -> Iterator[Finding]:
    if is_constant.any():
        yield Finding(
            "warning",
            "constant",
            f"{is_constant.sum()} of {len(labels)} images "
            f"{plural(is_constant.sum(), 'is', 'are')} constant: "
            f"{name_images(np.flatnonzero(is_constant), labels, dataset)}",
        )


def _check_duplicates(distilled: DistilledSet, dataset: Dataset) -> Iterator[Finding]:
    labels = distilled.labels
    seen: dict[bytes, int] = {}
    # Index of the first image with the same pixels. Hashes are compared, not images, because a set
    # may not fit into memory.
    first = np.array(
        [
            seen.setdefault(hashlib.sha256(image.tobytes()).digest(), index)
            for index, image in enumerate(distilled.images)
        ]
    )
    is_repeated = first != np.arange(len(first))
    if is_repeated.any():
        verb = plural(is_repeated.sum(), "is a duplicate of another", "are duplicates of others")
        yield Finding(
            "warning",
            "duplicates",
            f"{is_repeated.sum()} of {len(labels)} images {verb}: "
            f"{name_images(np.flatnonzero(is_repeated), labels, dataset)}",
        )
    in_other_class = is_repeated & (labels != labels[first])
    if in_other_class.any():
        count, row = int(in_other_class.sum()), int(np.flatnonzero(in_other_class)[0])
        yield Finding(
            "warning",
            "other-class",
            f"{count} of {len(labels)} images {plural(count, 'duplicates', 'duplicate')} an image "
            f"of another class; the first pair is images {first[row]} and {row}",
        )


def _check_constant_classes(
    is_constant: Array, labels: Array, dataset: Dataset
) -> Iterator[Finding]:
    constant = [label for label in range(dataset.num_classes) if is_constant[labels == label].all()]
    if constant:
        classes = _list([_class(label, dataset) for label in constant])
        yield Finding("error", "constant-class", f"all images are constant in {classes}")


def _class(label: int, dataset: Dataset) -> str:
    return f"{dataset.class_names[label]} (label {label})"


def _list(items: Sequence[str]) -> str:
    """Return the first items and the number of further ones, as text."""
    shown = ", ".join(items[:MAX_NAMED])
    return f"{shown} and {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else shown


def name_images(rows: Array, labels: Array, dataset: Dataset) -> str:
    """Return the index and class of the first of the images in ``rows``, as text."""
    names = [f"image {row} ({dataset.class_names[labels[row]]})" for row in rows[:MAX_NAMED]]
    return ", ".join([*names, "..."] if len(rows) > MAX_NAMED else names)
