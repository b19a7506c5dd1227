"""DSA. Its numbers are checked in test_official_numbers.py."""

import pytest
import torch

from benchmark_adapters.scoring import dsa


def test_augment_rejects_unknown_families():
    with pytest.raises(ValueError, match="blur"):
        dsa.augment(torch.zeros(1, 3, 32, 32), "color_blur")
