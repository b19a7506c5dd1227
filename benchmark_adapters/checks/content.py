"""What is wrong, or looks wrong, with a stranger's distilled set, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark_adapters.types import Dataset, DistilledSet

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

FLAT = 0.02  # of the range of pixels: an image that varies less is constant
SHARE = 0.99  # of the pixels that have to lie in a range for a verdict on the normalisation
NAMED = 5  # classes or images that a line names


@dataclass(frozen=True)
class Finding:
    """``error``: a score would mean nothing, so that none is made; ``warning``: look at it; ``note``: what was checked or could not be."""

    level: Literal["error", "warning", "note"]
    text: str


def inspect(distilled: DistilledSet, dataset: Dataset) -> list[Finding]:
    """All that can be seen without real images. Empty: nothing was found."""
    findings = list(_counts(distilled.labels, dataset))
    if distilled.normalisation is not None:
        findings += _values(distilled)
    if not any(finding.level == "error" for finding in findings):
        findings += _sameness(distilled, dataset)
    return findings


def _counts(labels: Array, dataset: Dataset) -> Iterator[Finding]:
    counts = np.bincount(labels, minlength=dataset.num_classes)
    usual = int(np.bincount(counts).argmax())
    odd = np.flatnonzero(counts != usual)
    if len(odd):
        yield Finding(
            "error",
            f"classes have different numbers of images: {usual} in most, but {_named(odd, dataset, [f'{counts[label]}' for label in odd])}",
        )


def _values(distilled: DistilledSet) -> Iterator[Finding]:
    """Of float images: are they finite, and do their values look as if they were normalised once?"""
    images = distilled.images
    if not np.isfinite(images).all():
        bad = np.flatnonzero(~np.isfinite(images).all((1, 2, 3)))
        yield Finding(
            "error",
            f"{len(bad)} images have values that are NaN or infinite, the first is image {bad[0]}",
        )
        return
    mean, std = (
        np.array(values, np.float32).reshape(1, -1, 1, 1)
        for values in distilled.normalisation or ((), ())
    )
    pixels = images * std + mean  # in 0..1 if they were normalised once
    low, high = float(images.min()), float(images.max())
    expected = f"normalised ones lie between {float((-mean / std).min()):.2f} and {float(((1 - mean) / std).max()):.2f}"
    if _within(images, -0.001, 1.001) and low >= -0.001:
        yield Finding(
            "error",
            f"images look unnormalised: their values lie between {low:.2f} and {high:.2f}, {expected}",
        )
    elif _within(images, -0.1, 255.1) and high > 20:
        yield Finding(
            "error",
            f"images look unnormalised: their values lie between {low:.1f} and {high:.1f} as bytes do, {expected}",
        )
    elif _within(pixels * std + mean, -0.01, 1.01) and not _within(pixels, -0.2, 1.2, share=0.65):
        yield Finding(
            "error",
            f"images look normalised twice: undone twice, their values are pixels; they lie between {low:.2f} and {high:.2f}, {expected}",
        )
    elif not _within(pixels, -2, 3):
        yield Finding(
            "warning",
            f"many values are far from those of pixels: they lie between {low:.2f} and {high:.2f}, {expected}",
        )


def _within(values: Array, low: float, high: float, share: float = SHARE) -> bool:
    return bool(((values >= low) & (values <= high)).mean() >= share)


def _sameness(distilled: DistilledSet, dataset: Dataset) -> Iterator[Finding]:
    """Constant and repeated images. A class of nothing else is an error."""
    unit = 255.0 if distilled.normalisation is None else 1 / max(distilled.normalisation[1])
    flat = np.array(
        [float(image.max()) - float(image.min()) < FLAT * unit for image in distilled.images]
    )
    seen: dict[bytes, int] = {}
    first = np.array(
        [seen.setdefault(image.tobytes(), index) for index, image in enumerate(distilled.images)]
    )
    repeated = first != np.arange(len(first))
    for what, marks in (("constant", flat), ("duplicates of others", repeated)):
        if marks.any():
            rows = np.flatnonzero(marks)
            some = ", ".join(
                f"image {row} ({dataset.class_names[distilled.labels[row]]})"
                for row in rows[:NAMED]
            )
            yield Finding(
                "warning",
                f"{len(rows)} of {len(marks)} images are {what}: {some}{', ...' if len(rows) > NAMED else ''}",
            )
    labels_differ = repeated & (distilled.labels != distilled.labels[first])
    if labels_differ.any():
        row = int(np.flatnonzero(labels_differ)[0])
        yield Finding(
            "warning",
            f"{int(labels_differ.sum())} images occur in more than one class, the first are images {first[row]} and {row}",
        )
    empty = [label for label in range(dataset.num_classes) if flat[distilled.labels == label].all()]
    if empty:
        yield Finding("error", f"all images are constant in {_named(np.array(empty), dataset)}")


def _named(labels: Array, dataset: Dataset, values: list[str] | None = None) -> str:
    names = [f"{dataset.class_names[label]} (label {label})" for label in labels[:NAMED]]
    shown = (
        [f"{value} in {name}" for value, name in zip(values, names, strict=False)]
        if values
        else names
    )
    return ", ".join(shown) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")
