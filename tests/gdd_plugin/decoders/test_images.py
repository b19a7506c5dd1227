"""Tests of converting images to the dataset's size and channels."""

import numpy as np
import pytest
import torch
from PIL import Image

from gdd_plugin.decoders.fidelity import psnr
from gdd_plugin.decoders.images import to_size, to_uint8


def fit(images, size, channels):
    return to_uint8(to_size(images.float(), size, channels))


def test_to_size_agrees_with_pil():
    photo = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    photo = np.asarray(
        Image.fromarray(photo).resize((64, 64)).resize((512, 512), Image.Resampling.BICUBIC)
    )
    small = (
        fit(torch.from_numpy(photo.transpose(2, 0, 1).copy())[None], 32, 3)[0].numpy().astype(int)
    )
    expected = (
        np.asarray(Image.fromarray(photo).resize((32, 32), Image.Resampling.BICUBIC))
        .transpose(2, 0, 1)
        .astype(int)
    )
    assert np.abs(small - expected).max() <= 1
    grey = (
        fit(torch.from_numpy(photo.transpose(2, 0, 1).copy())[None], 512, 1)[0, 0]
        .numpy()
        .astype(int)
    )
    assert np.abs(grey - np.asarray(Image.fromarray(photo).convert("L")).astype(int)).max() <= 1


def test_to_size_antialiases_when_downscaling():
    stripes = torch.zeros(1, 3, 512, 512, dtype=torch.uint8)
    stripes[..., ::2] = 255
    assert fit(stripes, 32, 3).float().std() < 3


def test_psnr_agrees_with_a_hand_calculation():
    assert psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 25.5)) == pytest.approx(20)
