"""Find copies of real images in a distilled set.

Students are tested on the test images, so a set that holds them scores high and means nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark_adapters.checks import likeness
from benchmark_adapters.checks.content import name_images
from benchmark_adapters.types import Dataset, DistilledSet
from leaderboard.records.record import CHANCE, TEST_COPIES, Copies, Finding
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

CODE = "real-images"
# Larger values of float images are cut off, so that their squares don't overflow.
MAX_VALUE = 1e6


@dataclass(frozen=True)
class RealImages:
    """The real images that a set is compared with.

    Attributes:
        test: images uint8 [N, C, H, W] and labels int64 [N].
        train: the same; None: they are not available.
        lacks: why ``train`` is not the whole training split; "": it is.
    """

    test: tuple[Array, Array]
    train: tuple[Array, Array] | None
    lacks: str = ""


@dataclass(frozen=True)
class _Found:
    """Which images are copies, each bool [N]. No image is a copy of more than one kind."""

    test_exact: Array
    test_near: Array
    train_exact: Array
    train_near: Array


def find_copies(
    distilled: DistilledSet, dataset: Dataset, real: RealImages
) -> tuple[Copies, list[Finding]]:
    """Return the shares of copies of real images in a set, and the findings about them.

    An exact copy has the bytes of a real image or of its mirror image. Float images are rounded to
    bytes for that. An image in both splits is a training image, which a set may contain. A near
    copy is one by `likeness`, of a real image with the same label: another would be of no use.

    Exact copies of test images are an error, or a warning if they may be training images too.
    """
    found = _find(distilled, dataset, real)
    has_train = real.train is not None
    copies = Copies(
        test_exact=float(found.test_exact.mean()),
        test_near=float(found.test_near.mean()),
        train_exact=float(found.train_exact.mean()) if has_train else None,
        train_near=float(found.train_near.mean()) if has_train else None,
    )
    note = Finding("note", CODE, _summary(copies, real))
    return copies, [*_findings(found, distilled.labels, dataset, real), note]


def _findings(
    found: _Found, labels: Array, dataset: Dataset, real: RealImages
) -> Iterator[Finding]:
    count = len(labels)
    if found.test_exact.any():
        copies = np.flatnonzero(found.test_exact)
        verb = plural(len(copies), "is a copy", "are copies")
        text = f"{len(copies)} of {count} images {verb} of test images"
        names = name_images(copies, labels, dataset)
        if real.lacks and not dataset.has_disjoint_splits:
            doubt = f"whether they are training images too is not known: {real.lacks}"
            yield Finding("warning", TEST_COPIES, f"{text}: {names}; {doubt}")
        else:
            yield Finding("error", TEST_COPIES, f"{text}: {names}")
    if found.test_near.mean() > CHANCE:
        copies = np.flatnonzero(found.test_near)
        yield Finding(
            "warning",
            "near-test-copies",
            f"{len(copies)} of {count} images are nearly equal to a test image, and far less like "
            f"any other real image: {name_images(copies, labels, dataset)}",
        )


def _summary(copies: Copies, real: RealImages) -> str:
    """Return what the set was compared with, and the result."""
    test = f"{len(real.test[1]):,} test"
    if real.train is None:
        compared = f"{test} images alone ({real.lacks})"
    else:
        lacks = f" ({real.lacks})" if real.lacks else ""
        compared = f"{test} and {len(real.train[1]):,} training images{lacks}"
    shares = {
        "copies of test images": copies.test_exact,
        "near copies of test images": copies.test_near,
        "copies of training images": copies.train_exact,
        "near copies of training images": copies.train_near,
    }
    found = [f"{100 * share:.1f} % {what}" for what, share in shares.items() if share]
    return f"compared with {compared}: {', '.join(found) or 'no copies'}"


def _find(distilled: DistilledSet, dataset: Dataset, real: RealImages) -> _Found:
    every = np.arange(len(distilled.labels))
    own = [_digests(image) for _, grey in _blocks(distilled, every) for image in _bytes(grey)]
    train_exact = _are_in(own, real.train[0] if real.train else ())
    test_exact = _are_in(own, real.test[0]) & ~train_exact
    is_exact = test_exact | train_exact
    test_near, train_near = np.zeros_like(is_exact), np.zeros_like(is_exact)
    for label in range(dataset.num_classes):
        rows = np.flatnonzero((distilled.labels == label) & ~is_exact)
        splits = [split[0][split[1] == label] for split in (real.test, real.train) if split]
        described = [likeness.describe(images) for images in splits if len(rows) and len(images)]
        if not described:
            continue
        real_images = torch.cat(described)
        for block, grey in _blocks(distilled, rows):
            nearest = likeness.near_copies(grey, real_images)
            test_near[block] = (nearest >= 0) & (nearest < len(splits[0]))
            train_near[block] = nearest >= len(splits[0])
    return _Found(test_exact, test_near, train_exact, train_near)


def _are_in(own: Sequence[tuple[bytes, ...]], real: Iterable[Array]) -> Array:
    """Return whether an image, given by its digests, is among real ones: bool [N]."""
    wanted = {digest for digests in own for digest in digests}
    found = wanted.intersection(map(_digest, real))
    return np.array([not found.isdisjoint(digests) for digests in own])


def _digests(image: Array) -> tuple[bytes, ...]:
    """Return the hashes of an image and its mirror image; none for an image of one colour."""
    if image.min() == image.max():
        return ()
    return _digest(image), _digest(image[..., ::-1])


def _digest(image: Array) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _blocks(distilled: DistilledSet, rows: Array) -> Iterator[tuple[Array, Array]]:
    """Yield a few of the rows, and their images in grey levels: float32 [n, C, H, W].

    A set may not fit into memory.
    """
    for start in range(0, len(rows), likeness.BLOCK):
        block = rows[start : start + likeness.BLOCK]
        images = distilled.images[block].astype(np.float32)
        if distilled.normalisation is not None:
            mean, std = (
                np.array(values, np.float32).reshape(1, -1, 1, 1)
                for values in distilled.normalisation
            )
            finite = np.nan_to_num(images).clip(-MAX_VALUE, MAX_VALUE)
            images = 255 * (finite * std + mean)
        yield block, images


def _bytes(grey: Array) -> Array:
    return grey.round().clip(0, 255).astype(np.uint8)
