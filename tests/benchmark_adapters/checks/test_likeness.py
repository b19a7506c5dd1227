"""Near copies among images of any size."""

import numpy as np
import pytest

from benchmark_adapters.checks import likeness


def smooth(count, channels, size):
    """Return random pictures whose neighbouring pixels are alike."""
    small = np.random.default_rng(0).integers(0, 256, (count, channels, size // 2, size // 2))
    return small.repeat(2, 2).repeat(2, 3).astype(np.uint8)


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32), (3, 64), (3, 224)])
def test_altered_images_are_found_at_any_size(channels, size):
    real = smooth(6, channels, size)
    described = likeness.describe(real)
    altered = 0.5 * real.astype(np.float32) + 30
    assert likeness.near_copies(altered, described).tolist() == [0, 1, 2, 3, 4, 5]
    moved = np.roll(altered, 1, 2)[:, :, :, ::-1].copy()
    assert likeness.near_copies(moved, described).tolist() == [0, 1, 2, 3, 4, 5]
    others = smooth(12, channels, size)[6:].astype(np.float32)
    assert likeness.near_copies(others, described).tolist() == 6 * [-1]


def test_an_image_like_two_real_ones_is_no_copy():
    first = smooth(1, 1, 28)
    second = first.copy()
    second[0, 0, 5, 5] ^= 8
    image = first.astype(np.float32)
    both = likeness.describe(np.concatenate([first, second]))
    assert likeness.near_copies(image, both).tolist() == [0]
    image[0, 0, 20, 20] += 50
    assert likeness.near_copies(image, both).tolist() == [-1]
    assert likeness.near_copies(image, likeness.describe(first)).tolist() == [0]


def test_images_of_one_colour_are_like_nothing():
    real = np.full((2, 1, 28, 28), 7, np.uint8)
    assert likeness.near_copies(real.astype(np.float32), likeness.describe(real)).tolist() == [
        -1,
        -1,
    ]
