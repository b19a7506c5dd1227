"""Normalised images."""

from dataclasses import replace

import numpy as np
import torch
from sample_sets import float_set, real_set

from benchmark_adapters import datasets
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST
from benchmark_adapters.scoring.images import Normalised, images_of, normalise


def test_normalised_matches_normalise():
    pixels, _ = datasets.load(FASHION_MNIST, "test", bundled=True)
    lazy = Normalised.of(pixels[:50], FASHION_MNIST.mean, FASHION_MNIST.std)
    index = torch.tensor([3, 0, 49])
    assert len(lazy) == 50
    assert torch.equal(lazy[index], normalise(pixels[:50], FASHION_MNIST)[index])


def test_normalise_gives_training_split_mean_0_and_deviation_1(clothes):
    assert clothes[0].mean().abs() < 0.05
    assert (clothes[0].std() - 1).abs() < 0.05


def test_images_of_applies_requested_normalisation():
    distilled = real_set(1)
    pixels = images_of(distilled, ((0.5,), (0.25,)))[:]
    torch.testing.assert_close(pixels, (torch.from_numpy(distilled.images) / 255 - 0.5) / 0.25)
    floats = float_set(CIFAR10)
    assert np.array_equal(images_of(floats, (CIFAR10.mean, CIFAR10.std)), floats.images)
    other = (CIFAR100.mean, CIFAR100.std)
    back = replace(floats, images=images_of(floats, other).numpy(), normalisation=other)
    again = images_of(back, (CIFAR10.mean, CIFAR10.std))
    torch.testing.assert_close(again, torch.from_numpy(floats.images), atol=1e-5, rtol=0)
