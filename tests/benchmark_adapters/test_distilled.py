"""Validation of batches, and class-balanced sets."""

import numpy as np
import pytest
import torch
from sample_sets import random_set

from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.distilled import (
    InvalidImages,
    balanced_rows,
    check_batch,
    class_major_set,
    validate,
)
from benchmark_adapters.types import UserError

IMAGES, LABELS = np.zeros((10, 3, 32, 32), np.uint8), np.arange(10)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_check_batch_returns_arrays(convert):
    images, labels, generated = check_batch(
        (convert(IMAGES), convert(LABELS.astype(np.int32))), CIFAR10
    )
    assert np.array_equal(images, IMAGES)
    assert (labels.dtype, labels.tolist()) == (np.int64, list(range(10)))
    assert generated.all()
    marks = convert(np.arange(10) < 3)
    assert check_batch([convert(IMAGES), convert(LABELS), marks], CIFAR10)[2].sum() == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (IMAGES, "yielded ndarray, expected a tuple"),
        ((IMAGES, LABELS, LABELS, LABELS), "yielded tuple, expected a tuple"),
        ((IMAGES / 1, LABELS), "yielded images of type float64, expected uint8"),
        ((IMAGES / np.float32("nan"), LABELS), "some of them NaN or infinite, expected uint8"),
        ((IMAGES[:, :1], LABELS), r"shape \[10, 1, 32, 32\], expected \[n, 3, 32, 32\]"),
        ((IMAGES, LABELS[:5]), r"type int64 and shape \[5\], expected int64 \[10\]"),
        ((IMAGES, LABELS / 1), r"type float64 and shape \[10\], expected int64 \[10\]"),
        ((IMAGES, LABELS - 1), "yielded labels from -1 to 8, expected 0 to 9"),
        ((IMAGES[:0], LABELS[:0]), "yielded no images"),
        (
            (IMAGES, LABELS, LABELS),
            r"yielded 'generated' of type int64 and shape \[10\], expected bool",
        ),
        (
            (torch.zeros(10, 3, 32, 32, dtype=torch.bfloat16), LABELS),
            "yielded Tensor, expected a tensor or an array",
        ),
    ],
)
def test_check_batch_rejects_invalid_values(value, message):
    with pytest.raises(InvalidImages, match=message):
        check_batch(value, CIFAR10)


def test_validate_starts_messages_with_the_place():
    with pytest.raises(UserError, match=r"^some/file: labels from 0 to 10, expected 0 to 9$"):
        validate(IMAGES, np.arange(10) // 9 * 10, CIFAR10, "some/file:")
    validate(IMAGES.astype(np.float32), LABELS, CIFAR10, "some/file:", "float32")


def test_class_major_set_copies_only_unsorted_images():
    distilled = random_set(CIFAR10, ipc=2)
    same = class_major_set(distilled.images, distilled.labels, CIFAR10, "here:")
    assert same.images is distilled.images
    order = np.arange(20)[::-1]
    back = class_major_set(distilled.images[order], distilled.labels[order], CIFAR10, "here:")
    assert back.labels.tolist() == distilled.labels.tolist()
    assert np.array_equal(back.images[0], distilled.images[1])


def test_balanced_rows_take_the_lowest_ranks_of_each_class():
    labels, ranks = np.array([0, 1, 1, 0, 0, 1, 1]), np.array([5, 6, 4, 3, 2, 1, 0])
    assert balanced_rows(labels, ranks, 2, ipc=None).tolist() == [4, 3, 0, 6, 5, 2]
    assert balanced_rows(labels, ranks, 2, ipc=1).tolist() == [4, 6]
    assert balanced_rows(labels, ranks, 3, ipc=None).tolist() == []
