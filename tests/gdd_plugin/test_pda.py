"""Tests of Post Data Augmentation against the same operations in PIL and plain formulas."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark_adapters import datasets
from gdd_plugin import pda
from gdd_plugin.pda import POLICIES, Policy


@pytest.fixture(scope="module")
def clothes():
    return torch.from_numpy(datasets.load(datasets.FASHION_MNIST, "test", bundled=True)[0][:64])


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def test_published_policy_has_the_published_values():
    assert POLICIES["published"] == Policy(
        4,
        flip=0.8,
        flip_vertical=0.8,
        tone=0.5,
        tone_range=0.2,
        rotate=0.8,
        degrees=60,
        gamma=0.5,
        gamma_range=0.2,
    )


@pytest.mark.parametrize("policy", ["published", "default"])
def test_augment_returns_the_right_shape_and_depends_on_the_seed(clothes, policy):
    copies = pda.augment(clothes, 3, policy, source())
    assert copies.shape == (192, 1, 28, 28)
    assert copies.dtype == torch.uint8
    assert torch.equal(copies, pda.augment(clothes, 3, policy, source()))
    assert not torch.equal(copies, pda.augment(clothes, 3, policy, source(1)))
    # Each copy has its own random parameters.
    first, second, third = copies[:3]
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_augment_without_copies_or_operations(clothes):
    assert pda.augment(clothes, 0, "published", source()).shape == (0, 1, 28, 28)
    assert torch.equal(pda.augment(clothes, 2, "none", source()), clothes.repeat_interleave(2, 0))


def test_augment_with_a_generator_per_image_does_not_depend_on_the_batch(clothes):
    together = pda.augment(clothes[:4], 2, "published", [source(i) for i in range(4)])
    alone = torch.cat(
        [pda.augment(clothes[i : i + 1], 2, "published", [source(i)]) for i in range(4)]
    )
    assert torch.equal(together, alone)
    with pytest.raises(ValueError, match="got 3 for 4"):
        pda.augment(clothes[:4], 2, "published", [source(i) for i in range(3)])


@pytest.mark.parametrize(
    ("policy", "mirror"), [(Policy(1, flip=1), 3), (Policy(1, flip_vertical=1), 2)]
)
def test_flip_mirrors_the_images(clothes, policy, mirror):
    assert torch.equal(pda.augment(clothes, 1, policy, source()), clothes.flip(mirror))


def test_flip_occurs_with_the_given_probability(clothes):
    copies = pda.augment(clothes, 50, Policy(1, flip=0.8), source())
    mirrored = (copies == clothes.flip(3).repeat_interleave(50, 0)).all((1, 2, 3)).float().mean()
    # With 3,200 draws, three standard deviations are 0.02.
    assert mirrored == pytest.approx(0.8, abs=0.03)


def test_tone_applies_a_factor_and_a_shift_within_the_range():
    grey = torch.arange(64, 192, dtype=torch.uint8).view(1, 1, 8, 16)
    copies = pda.augment(grey, 500, Policy(1, tone=1, tone_range=0.2), source()).flatten(1).double()
    x = grey.flatten().double()
    slope = ((copies * (x - x.mean())).sum(1) / ((x - x.mean()) ** 2).sum())[
        (copies.min(1).values > 0) & (copies.max(1).values < 255)
    ]
    assert 0.79 < slope.min() < 0.82
    assert 1.18 < slope.max() < 1.21
    middle = torch.full((1, 1, 1, 1), 128, dtype=torch.uint8)
    values = pda.augment(middle, 3000, Policy(1, tone=1, tone_range=0.2), source()).double()
    # The values are 128 * (1 +- 0.2) +- 0.2 * 255. The brightness shift is relative to the maximum
    # pixel value, not to the mean of the image.
    assert 128 * 0.8 - 51 <= values.min() < 65
    assert 195 < values.max() <= 128 * 1.2 + 51


def test_gamma_applies_a_power_within_the_range():
    grey = torch.full((1, 1, 1, 1), 100, dtype=torch.uint8)
    values = pda.augment(grey, 3000, Policy(1, gamma=1, gamma_range=0.2), source()).double()
    low, high = (255 * (100 / 255) ** exponent for exponent in (1.2, 0.8))
    assert round(low) <= values.min() <= round(low) + 1
    assert round(high) - 1 <= values.max() <= round(high)


def test_rotation_agrees_with_pil_inside_the_picture(monkeypatch):
    """Rotate by a known angle. The corners differ, because PIL does not reflect at the border."""
    picture = Image.fromarray((np.indices((33, 33)).sum(0) * 3 + 20).astype(np.uint8))
    tensor = torch.from_numpy(np.asarray(picture).copy())[None, None]
    monkeypatch.setattr(
        pda, "_uniform", lambda count, numbers, generator: torch.full((count, numbers), 0.75)
    )
    # A draw of 0.75 is halfway to 60 degrees.
    turned = pda.augment(tensor, 1, Policy(1, rotate=1, degrees=60), source())[0, 0].float()
    y, x = np.indices((33, 33)) - 16
    inside = torch.from_numpy(np.hypot(x, y) < 15)
    distances = [
        (
            turned
            - torch.from_numpy(
                np.asarray(picture.rotate(angle, Image.Resampling.BILINEAR)).copy()
            ).float()
        )[inside]
        .abs()
        .max()
        for angle in (30, -30)
    ]
    assert min(distances) <= 1.01


def test_rotation_reflects_at_the_border():
    white = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)
    assert (pda.augment(white, 20, Policy(1, rotate=1, degrees=60), source()) == 255).all()


def test_rotation_angles_fill_the_range(clothes):
    bar = torch.zeros(1, 1, 65, 65, dtype=torch.uint8)
    # Draw a ray from the centre to the right.
    bar[..., 32, 33:] = 255
    turned = pda.augment(bar, 300, Policy(1, rotate=1, degrees=60), source()).double()
    rows, columns = torch.meshgrid(torch.arange(65.0) - 32, torch.arange(65.0) - 32, indexing="ij")
    weights = turned[:, 0] / turned[:, 0].sum((1, 2), keepdim=True)
    angles = (
        torch.atan2((weights * rows).sum((1, 2)), (weights * columns).sum((1, 2))) * 180 / math.pi
    )
    assert -61 < angles.min() < -55
    assert 55 < angles.max() < 61


def test_augment_refuses_unknown_policies_and_negative_counts(clothes):
    with pytest.raises(
        ValueError, match="unknown PDA policy 'wild'; known: none, published, default"
    ):
        pda.augment(clothes, 1, "wild", source())
    with pytest.raises(ValueError, match="copies=-1"):
        pda.augment(clothes, -1, "default", source())
