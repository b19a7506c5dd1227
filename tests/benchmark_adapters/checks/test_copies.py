"""Copies of real images of Fashion-MNIST, exact and altered, and honest sets."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from project import ROOT
from sample_sets import normalised_set, real_set

from benchmark_adapters import datasets
from benchmark_adapters.checks.copies import RealImages, find_copies
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.distilled import balanced
from benchmark_adapters.formats import native
from leaderboard.records.record import Copies

HAS_WHOLE = Path("/usr/share/datasets/fashion-mnist").is_dir()
needs_whole = pytest.mark.skipif(not HAS_WHOLE, reason="the whole training split is not installed")
PART = "only a part of the training split is bundled"
# A dataset of which nobody knows whether an image is in both splits.
UNKNOWN = replace(FASHION_MNIST, has_disjoint_splits=False)


@pytest.fixture(scope="module")
def test_split():
    return datasets.load(FASHION_MNIST, "test", bundled=True)


@pytest.fixture(scope="module")
def bundled(test_split):
    """Return what the track ``quickstart`` has: all test images, and few training images."""
    return RealImages(test_split, datasets.load(FASHION_MNIST, "train", bundled=True), PART)


@pytest.fixture(scope="module")
def whole(test_split):
    return RealImages(test_split, datasets.load(FASHION_MNIST, "train"))


@pytest.fixture(scope="module")
def stolen():
    """Return a set of 30 test images."""
    return real_set(3)


def drawn(split, ipc, seed=0):
    """Return a set of random images of a split."""
    images, labels = split
    rows = np.random.default_rng(seed).permutation(len(labels))
    return balanced(images[rows], labels[rows], np.ones(len(rows), bool), FASHION_MNIST, ipc)


def levels(findings):
    return [(finding.level, finding.code) for finding in findings if finding.level != "note"]


def as_jpeg(images, quality):
    decoded = np.empty_like(images)
    for row, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image[0]).save(file, "JPEG", quality=quality)
        decoded[row, 0] = np.asarray(Image.open(file))
    return decoded


def with_noise(images, deviation):
    noise = np.random.default_rng(0).normal(0, deviation, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


EXACT = {
    "as they are": lambda stolen: stolen,
    "mirrored": lambda stolen: replace(stolen, images=stolen.images[..., ::-1]),
    "as floats": normalised_set,
    "as floats, slightly changed": lambda stolen: normalised_set(
        stolen, normalised_set(stolen).images + np.float32(0.001)
    ),
    "normalised in a way of their own": lambda stolen: replace(
        stolen, images=stolen.images / np.float32(51) - 3, normalisation=((0.6,), (0.2,))
    ),
    "beside images of one colour": lambda stolen: replace(
        stolen, images=np.where(stolen.labels.reshape(-1, 1, 1, 1) == 0, 0, stolen.images)
    ),
    "among noise": lambda stolen: replace(
        stolen,
        images=np.concatenate([with_noise(0 * stolen.images[:-1], 90), stolen.images[-1:]]),
    ),
}


@pytest.mark.parametrize("change", EXACT)
def test_test_images_are_an_error(stolen, bundled, change):
    copies, findings = find_copies(EXACT[change](stolen), FASHION_MNIST, bundled)
    assert levels(findings) == [("error", "test-copies")]
    expected = {"beside images of one colour": 27 / 30, "among noise": 1 / 30}.get(change, 1)
    assert copies == Copies(expected, 0, 0, 0)


ALTERED = {
    "noise of 10 grey levels": lambda images: with_noise(images, 10),
    "noise of 20 grey levels": lambda images: with_noise(images, 20),
    "brighter": lambda images: np.minimum(images.astype(int) + 40, 255).astype(np.uint8),
    "pale": lambda images: images // 4 + 90,
    "moved by a pixel": lambda images: np.roll(images, (1, -1), (2, 3)),
    "moved and mirrored": lambda images: np.roll(images, 1, 2)[..., ::-1],
    "JPEG of quality 50": lambda images: as_jpeg(images, 50),
    "JPEG of quality 25": lambda images: as_jpeg(images, 25),
}


@pytest.mark.parametrize("change", ALTERED)
def test_altered_test_images_are_a_warning(stolen, bundled, change):
    altered = replace(stolen, images=ALTERED[change](stolen.images))
    copies, findings = find_copies(altered, FASHION_MNIST, bundled)
    assert levels(findings) == [("warning", "near-test-copies")]
    assert copies.test_near > 0.8
    assert "images are nearly equal to a test image, and far less like any other" in (
        findings[0].text
    )


def test_altered_test_images_beyond_the_range_of_pixels_are_a_warning(stolen, bundled):
    """Students normalise images themselves, so ten times the contrast is no loss to a cheat."""
    loud = normalised_set(stolen, 10 * normalised_set(stolen).images)
    assert levels(find_copies(loud, FASHION_MNIST, bundled)[1]) == [("warning", "near-test-copies")]


def test_values_that_are_not_finite_end_no_check(stolen, bundled):
    images = normalised_set(stolen).images.copy()
    images[0, 0, 0, :3] = np.nan, np.inf, -3e38
    copies, _ = find_copies(normalised_set(stolen, images), FASHION_MNIST, bundled)
    assert copies.test_exact == pytest.approx(29 / 30)


def test_real_training_images_are_no_copies_of_test_images(bundled):
    copies, findings = find_copies(drawn(bundled.train, 10), FASHION_MNIST, bundled)
    assert (levels(findings), copies) == ([], Copies(0, 0, 1, 0))
    assert findings[0].text == (
        f"compared with 10,000 test and 1,000 training images ({PART}): "
        "100.0 % copies of training images"
    )


@needs_whole
def test_training_images_that_are_not_bundled_are_no_copies_of_test_images(whole, bundled):
    """Clothes look alike: 22 % of the training images are within the limit of a test image."""
    honest = drawn(whole.train, 20)
    for real in (bundled, replace(bundled, train=None, lacks="there are none")):
        copies, findings = find_copies(honest, UNKNOWN, real)
        assert levels(findings) == []
        assert copies.test_near < 0.03
    copies, findings = find_copies(honest, UNKNOWN, whole)
    assert (levels(findings), copies) == ([], Copies(0, 0, 1, 0))


def committed(method, track):
    """Return the folders of the runs of a method that belong to the documentation."""
    return sorted((ROOT / "docs" / "runs" / track).glob(f"*/{method}/*"))


@pytest.mark.parametrize("track", ["quickstart", "fashion-mnist"])
def test_sampled_and_refined_images_are_no_copies(bundled, track):
    for folder in committed("generative-turbo", track):
        copies, findings = find_copies(native.load(folder, FASHION_MNIST), FASHION_MNIST, bundled)
        kind = json.loads((folder / "record.json").read_text())["options"]
        assert levels(findings) == [], kind
        assert max(copies.test_near, copies.train_near) < 0.02, kind
        assert copies.test_exact == copies.train_exact == copies.of_training == 0, kind


@needs_whole
@pytest.mark.parametrize("method", ["herding", "kmeans", "random-real"])
def test_selected_training_images_are_training_images(whole, method):
    for folder in committed(method, "fashion-mnist"):
        copies, findings = find_copies(native.load(folder, FASHION_MNIST), FASHION_MNIST, whole)
        assert (levels(findings), copies) == ([], Copies(0, 0, 1, 0))


def test_images_in_both_splits_are_training_images(stolen, bundled):
    images, labels = bundled.train
    train = np.concatenate([images, stolen.images]), np.concatenate([labels, stolen.labels])
    copies, findings = find_copies(stolen, UNKNOWN, RealImages(bundled.test, train))
    assert (levels(findings), copies) == ([], Copies(0, 0, 1, 0))


@pytest.mark.parametrize("has_part", [True, False])
def test_test_images_that_may_be_training_images_are_a_warning(stolen, bundled, has_part):
    real = bundled if has_part else RealImages(bundled.test, None, "there are no training images")
    copies, (warning, note) = find_copies(stolen, UNKNOWN, real)
    assert (warning.level, warning.code, copies.test_exact) == ("warning", "test-copies", 1)
    assert warning.text.endswith(
        f"; whether they are training images too is not known: {real.lacks}"
    )
    assert (copies.train_exact == 0) if has_part else (copies.train_exact is None)
    assert ("10,000 test images alone (there are no" in note.text) != has_part


def test_altered_training_images_are_counted_but_no_warning(bundled):
    honest = drawn(bundled.train, 3)
    altered = replace(honest, images=with_noise(honest.images, 10)[..., ::-1])
    copies, findings = find_copies(altered, FASHION_MNIST, bundled)
    assert levels(findings) == []
    assert (copies.train_exact, copies.of_training) == (0, copies.train_near)
    assert copies.train_near > 0.9
    assert "% near copies of training images" in findings[0].text


def test_images_of_one_colour_are_no_copies(stolen, bundled):
    images, labels = bundled.test
    black = RealImages((0 * images[:10], labels[:10]), None)
    copies, findings = find_copies(replace(stolen, images=0 * stolen.images), FASHION_MNIST, black)
    assert (levels(findings), copies) == ([], Copies(0, 0))
