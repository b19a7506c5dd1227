"""Balanced sets."""

from dataclasses import replace

import numpy as np

from benchmark_adapters import datasets, distilled


def test_balanced_takes_the_first_of_each_class_in_order():
    labels = np.array([0, 1, 1, 0, 0, 1])
    few = replace(datasets.FASHION_MNIST, class_names=("a", "b"))
    pixels = np.arange(6, dtype=np.uint8)[:, None, None, None]
    result = distilled.balanced(pixels, labels, np.ones(6, bool), few, ipc=2)
    assert result.images.flatten().tolist() == [0, 3, 1, 2]
    assert result.labels.tolist() == [0, 0, 1, 1]
