from dataclasses import replace

import numpy as np
import torch
from sampling import make_task

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring.recipes import DSA
from gdd_plugin.improvement.real_images import RealImages


def test_the_last_images_of_each_class_are_held_out(real):
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    held, classes = real.held_out
    assert torch.bincount(classes).tolist() == [20] * 10
    assert torch.bincount(real.labels).tolist() == [80] * 10
    last = images[np.flatnonzero(labels == 3)[-20:]]
    assert np.array_equal(held[classes == 3], last)


def test_without_a_choice_at_the_end_no_image_is_held_out(task):
    real = RealImages.of(task, holds_out=False)
    assert (len(real.labels), len(real.held_out[1])) == (1000, 0)


def test_normalised_images_become_the_same_pixels_again(real):
    assert torch.equal(real.to_pixels(real.normalise(real.pixels)), real.pixels)


def test_clamped_images_are_within_the_pixels_range(real):
    clamped = real.clamp(10 * torch.randn(4, 1, 28, 28))
    assert (clamped * real.std + real.mean).min() >= 0
    assert (clamped * real.std + real.mean).max() <= 1 + 1e-6


def test_draw_returns_at_most_all_images_each_once(real):
    images, labels = real.draw(10_000, np.random.default_rng(0))
    assert len(images) == len(labels) == 800
    assert torch.bincount(labels).tolist() == [80] * 10


def test_colour_images_are_normalised_per_channel():
    pixels = np.full((10, 3, 4, 4), 255, np.uint8)
    dataset = replace(FASHION_MNIST, mean=(0.5, 0.4, 0.3), std=(0.5, 0.4, 0.3))
    task = make_task(dataset, training_images=lambda: (pixels, np.arange(10)), recipe=DSA)
    images = RealImages.of(task).normalise(torch.from_numpy(pixels))
    expected = torch.tensor([1.0, 1.5, 7 / 3])
    assert torch.allclose(images[0, :, 0, 0], expected)
