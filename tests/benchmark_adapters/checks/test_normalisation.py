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


def whitened(images, regularisation=0.1):
    """Return images after ZCA, as FRePo and KIP apply it: unrelated pixels of mean 0."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(0)
    vectors, values, _ = np.linalg.svd(flat.T @ flat / len(flat))
    scale = 1 / np.sqrt(values + regularisation * values.mean())
    return (flat @ (vectors * scale) @ vectors.T).reshape(images.shape).astype(np.float32)


def test_whitened_images_are_a_warning_and_others_are_not():
    clothes = normalised_set(real_set(30))
    odd = normalised_set(clothes, whitened(clothes.images))
    (finding,) = inspect(odd, FASHION_MNIST)
    assert (finding.level, finding.code) == ("warning", "unrelated-pixels")
    assert "these look whitened" in finding.text
    noise = np.random.default_rng(0).normal(0, 0.3, clothes.images.shape).astype(np.float32)
    assert inspect(normalised_set(clothes, clothes.images + noise), FASHION_MNIST) == []


def test_values_outside_of_pixels_are_a_warning():
    clothes = normalised_set(real_set(30))
    low = normalised_set(clothes, clothes.images - 0.5)
    (finding,) = inspect(low, FASHION_MNIST)
    assert (finding.level, finding.code) == ("warning", "outside")
    assert "% of the values lie outside" in finding.text
    assert "from -0.18 to 0.82" in finding.text


def test_few_values_prove_nothing():
    flat = normalised("[-1, 1]", np.zeros((20, 3, 32, 32), np.float32))
    assert list(check_normalisation(flat, (CIFAR10.mean, CIFAR10.std))) == []


def test_the_datasets_own_normalisations_are_known():
    own = {(one.mean, one.std) for one in (FASHION_MNIST, CIFAR10, CIFAR100, TINY_IMAGENET)}
    assert own <= set(normalisation.KNOWN.values())
