"""Sets that were normalised as for another dataset."""

import numpy as np
import pytest
from sample_sets import normalised_set, real_set

from benchmark_adapters.checks import normalisation
from benchmark_adapters.checks.content import inspect
from benchmark_adapters.checks.normalisation import KNOWN, check_normalisation
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET

GREY = [name for name, (mean, _) in KNOWN.items() if len(mean) == 1]


def normalised(name, pixels):
    mean, std = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in KNOWN[name])
    return ((pixels / np.float32(255) - mean) / std).astype(np.float32)


def colours():
    return np.random.default_rng(0).integers(256, size=(20, 3, 32, 32)).astype(np.float32)


@pytest.mark.parametrize("name", [name for name in GREY if name != "Fashion-MNIST"])
def test_other_normalisation_of_clothes_is_named(name):
    clothes = real_set(6)
    wrong = normalised_set(clothes, normalised(name, clothes.images))
    (finding,) = inspect(wrong, FASHION_MNIST)
    assert (finding.level, finding.code) == ("error", "other-normalisation")
    assert finding.text.startswith(f"images are normalised as for {name}: ")


@pytest.mark.parametrize("dataset", [CIFAR10, CIFAR100, TINY_IMAGENET], ids=lambda one: one.name)
@pytest.mark.parametrize("name", KNOWN)
def test_every_known_normalisation_of_colours_is_named_unless_it_is_right(name, dataset):
    right = dataset.mean, dataset.std
    found = list(check_normalisation(normalised(name, colours()), right))
    if KNOWN[name] == right:
        assert found == []
    else:
        assert f"normalised as for {name}: " in found[0].text


def test_optimised_images_prove_nothing():
    noise = np.random.default_rng(0).normal(size=(20, 3, 32, 32)).astype(np.float32)
    assert list(check_normalisation(noise, (CIFAR10.mean, CIFAR10.std))) == []


def test_few_values_prove_nothing():
    flat = normalised("[-1, 1]", np.zeros((20, 3, 32, 32), np.float32))
    assert list(check_normalisation(flat, (CIFAR10.mean, CIFAR10.std))) == []


def test_the_datasets_own_normalisations_are_known():
    own = {(one.mean, one.std) for one in (FASHION_MNIST, CIFAR10, CIFAR100, TINY_IMAGENET)}
    assert own <= set(normalisation.KNOWN.values())
