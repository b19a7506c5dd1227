"""Content checks on real images."""

from dataclasses import replace

import numpy as np
import pytest
from sample_sets import normalised_set, real_set

from benchmark_adapters.checks.content import inspect
from benchmark_adapters.datasets import FASHION_MNIST


@pytest.fixture(scope="module")
def clothes():
    return real_set(6)


def texts(distilled, level="error"):
    return [finding.text for finding in inspect(distilled, FASHION_MNIST) if finding.level == level]


def codes(distilled):
    return [finding.code for finding in inspect(distilled, FASHION_MNIST)]


def test_inspect_finds_nothing_in_good_sets(clothes):
    assert inspect(clothes, FASHION_MNIST) == inspect(normalised_set(clothes), FASHION_MNIST) == []


def test_inspect_names_classes_with_unequal_counts(clothes):
    labels = clothes.labels.copy()
    labels[0] = 9
    assert texts(replace(clothes, labels=labels)) == [
        "classes have different numbers of images: 6 in most, "
        "but 5 in T-shirt/top (label 0), 7 in Ankle boot (label 9)"
    ]


def test_inspect_names_a_missing_class(clothes):
    rest = clothes.labels != 3
    (text,) = texts(replace(clothes, images=clothes.images[rest], labels=clothes.labels[rest]))
    assert "0 in Dress (label 3)" in text


def test_inspect_rejects_values_that_are_not_finite(clothes):
    images = normalised_set(clothes).images.copy()
    images[7, 0, 3, 3] = np.nan
    assert texts(normalised_set(clothes, images)) == [
        "1 of 60 images has NaN or infinite values; the first is image 7"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x / 255,
            "look unnormalised: their values range from 0.00 to 1.00, "
            "but normalised pixels range from -0.81 to 2.02",
        ),
        (
            lambda x: x.astype(np.float32),
            "look unnormalised: their values range from 0.0 to 255.0 like bytes",
        ),
        (lambda x: ((x / 255 - 0.2861) / 0.3530 - 0.2861) / 0.3530, "look normalised twice"),
    ],
)
def test_inspect_rejects_wrong_normalisation(clothes, change, message):
    (text,) = texts(normalised_set(clothes, change(clothes.images).astype(np.float32)))
    assert message in text


def test_inspect_accepts_optimised_images_beyond_the_pixel_range(clothes):
    noise = np.random.default_rng(0).normal(0, 0.4, clothes.images.shape).astype(np.float32)
    assert (
        inspect(normalised_set(clothes, normalised_set(clothes).images + noise), FASHION_MNIST)
        == []
    )


def test_inspect_warns_of_far_values(clothes):
    (text,) = texts(normalised_set(clothes, 40 * normalised_set(clothes).images), "warning")
    assert "far from those of pixels" in text


def test_inspect_finds_constant_and_duplicate_images(clothes):
    images = clothes.images.copy()
    images[0], images[8], images[9] = 7, images[7], images[30]
    found = texts(replace(clothes, images=images), "warning")
    assert found == [
        "1 of 60 images is constant: image 0 (T-shirt/top)",
        "2 of 60 images are duplicates of others: image 8 (Trouser), image 30 (Sandal)",
        "1 of 60 images duplicates an image of another class; the first pair is images 9 and 30",
    ]
    images[:6] = 7
    assert texts(replace(clothes, images=images)) == [
        "all images are constant in T-shirt/top (label 0)"
    ]


def test_inspect_gives_each_finding_a_code(clothes):
    labels, images = clothes.labels.copy(), clothes.images.copy()
    labels[0] = 9
    assert codes(replace(clothes, labels=labels))[0] == "class-counts"
    images[0], images[8], images[9] = 7, images[7], images[30]
    assert codes(replace(clothes, images=images)) == ["constant", "duplicates", "other-class"]
    images[:6] = 7
    assert codes(replace(clothes, images=images))[-1] == "constant-class"
    floats = normalised_set(clothes).images
    for change, code in (
        (floats * np.nan, "not-finite"),
        (clothes.images.astype(np.float32) / 255, "unnormalised"),
        ((floats - 0.2861) / 0.3530, "normalised-twice"),
        (40 * floats, "far-values"),
    ):
        assert codes(normalised_set(clothes, change.astype(np.float32))) == [code]
