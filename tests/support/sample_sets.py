"""Small distilled sets for tests."""

from dataclasses import replace

import numpy as np

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.distilled import balanced
from benchmark_adapters.scoring.images import normalise
from benchmark_adapters.types import DistilledSet


def real_set(ipc):
    """Return a set of real test images of Fashion-MNIST, at most 80 of each class."""
    images, labels = (part[:1000] for part in datasets.load(FASHION_MNIST, "test", bundled=True))
    return balanced(images, labels, np.ones(1000, bool), FASHION_MNIST, ipc)


def random_set(dataset, ipc=1):
    """Return a set of random bytes, for datasets whose real images are not available."""
    count = ipc * dataset.num_classes
    shape = (count, dataset.channels, dataset.image_size, dataset.image_size)
    return DistilledSet(
        np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8),
        np.arange(dataset.num_classes).repeat(ipc),
        dataset.class_names,
        np.ones(count, bool),
        {"method": "some method"},
    )


def float_set(dataset):
    """Return a set of floats beyond the range of pixels, like optimised images."""
    pixels = random_set(dataset)
    images = np.random.default_rng(1).normal(0, 1.5, pixels.images.shape).astype(np.float32)
    return replace(pixels, images=images, provenance={}, normalisation=(dataset.mean, dataset.std))


def normalised_set(distilled, images=None):
    """Return a set with float images of Fashion-MNIST: ``images``, or its own images normalised."""
    if images is None:
        images = normalise(distilled.images, FASHION_MNIST).numpy()
    return replace(distilled, images=images, normalisation=(FASHION_MNIST.mean, FASHION_MNIST.std))
