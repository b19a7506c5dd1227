"""The real images that a training draws from."""

import numpy as np
import torch

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from gdd_plugin.training.data import RealImages


def test_the_last_images_of_each_class_are_held_out(few):
    real = RealImages(FASHION_MNIST, few, 200, 8)
    images, labels = datasets.load(FASHION_MNIST, "train", few)
    for label in range(10):
        ours = images[labels == label]
        np.testing.assert_array_equal(real.held_out[0][real.held_out[1] == label], ours[-20:])
        np.testing.assert_array_equal(real.images[real.labels == label], ours[:-20])


def test_pictures_are_drawn_class_by_class(few):
    real = RealImages(FASHION_MNIST, few, 200, 8)
    drawn = real.draw([3, 7], 5)
    assert real.labels[drawn].tolist() == [3] * 5 + [7] * 5
    torch.testing.assert_close(real.pictures(drawn), real.images[drawn] / 127.5 - 1)
