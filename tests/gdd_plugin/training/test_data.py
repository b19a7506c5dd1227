"""Tests of the real images used in training."""

import numpy as np
import torch

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from gdd_plugin.training.data import RealImages


def test_real_images_hold_out_the_last_images_of_each_class(few):
    real = RealImages(FASHION_MNIST, few, 200, 8)
    images, labels = datasets.load(FASHION_MNIST, "train", few)
    for label in range(10):
        of_class = images[labels == label]
        np.testing.assert_array_equal(real.held_out[0][real.held_out[1] == label], of_class[-20:])
        np.testing.assert_array_equal(real.images[real.labels == label], of_class[:-20])


def test_draw_returns_images_class_by_class(few):
    real = RealImages(FASHION_MNIST, few, 200, 8)
    drawn = real.draw([3, 7], 5)
    assert real.labels[drawn].tolist() == [3] * 5 + [7] * 5
    torch.testing.assert_close(real.pictures(drawn), real.images[drawn] / 127.5 - 1)
