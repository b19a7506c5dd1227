"""Folders of real pictures: clothes from Fashion-MNIST's bundled images."""

import functools

import numpy as np
from PIL import Image

from benchmark_adapters import datasets

CLASSES = {"Bag": 8, "Sneaker": 7, "Trouser": 1}


@functools.cache
def _clothes():
    return datasets.load(datasets.FASHION_MNIST, "test", bundled=True)


def pictures(name, count):
    """Return the first bundled test images of a class as grey pictures of 28x28 pixels."""
    images, labels = _clothes()
    rows = np.flatnonzero(labels == CLASSES[name])[:count]
    return [Image.fromarray(image[0]) for image in images[rows]]


def write(root, count=4, splits=("train", "test"), suffix="png", change=lambda picture: picture):
    """Write ``count`` pictures of each class and split into ``root``, and return it."""
    for number, split in enumerate(splits):
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for index, picture in enumerate(pictures(name, (number + 1) * count)[-count:]):
                change(picture).save(folder / f"{index}.{suffix}", lossless=True)
    return root
