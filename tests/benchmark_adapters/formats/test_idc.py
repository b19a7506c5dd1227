"""IDC's files."""

import numpy as np
import pytest
import torch
from sample_sets import random_set

from benchmark_adapters.checks.content import inspect
from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.formats import idc
from benchmark_adapters.types import UserError


def test_images_in_the_unit_range_are_read(tmp_path):
    """IDC saves a list of float32 images and int64 labels, sorted by class."""
    made = random_set(CIFAR10)
    images = torch.from_numpy(made.images).float() / 255
    torch.save([images, torch.arange(10)], tmp_path / "data.pt")
    read = idc.read(tmp_path, CIFAR10)
    assert np.array_equal(read.images, made.images)
    assert read.normalisation is None
    # Optimised images are no whole bytes, but in the right range.
    torch.save([images * 0.97 + 0.01, torch.arange(10)], tmp_path / "data.pt")
    levels = [finding.level for finding in inspect(idc.read(tmp_path, CIFAR10), CIFAR10)]
    assert "error" not in levels
    # They are not clipped.
    torch.save([images * 1.2 - 0.1, torch.arange(10)], tmp_path / "data.pt")
    read = idc.read(tmp_path / "data.pt", CIFAR10)
    assert torch.equal(torch.from_numpy(read.images), images * 1.2 - 0.1)
    assert read.normalisation == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("content", [torch.zeros(1), [torch.zeros(1)], {"data": []}])
def test_other_content_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "data.pt")
    with pytest.raises(UserError, match=r"data\.pt: expected \[images, labels\]"):
        idc.read(tmp_path, CIFAR10)
