"""DC-BENCH's files."""

import numpy as np
import pytest
import torch
from sample_sets import random_set

from benchmark_adapters.datasets import CIFAR10, CIFAR100, TINY_IMAGENET
from benchmark_adapters.formats import dcbench
from benchmark_adapters.scoring.images import normalise
from benchmark_adapters.types import UserError


def test_read_returns_the_last_pair_sorted_by_class(tmp_path):
    made = random_set(CIFAR10)
    right = normalise(made.images, CIFAR10)
    shuffled = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    pairs = [
        [torch.zeros_like(right), torch.arange(10)],
        [right[shuffled], torch.arange(10)[shuffled]],
    ]
    torch.save({"data": pairs, "accs_all_exps": {}}, tmp_path / "res_DC_CIFAR10_ConvNet_1ipc.pt")
    assert np.array_equal(dcbench.read(tmp_path, CIFAR10).images, made.images)
    assert dcbench.find(tmp_path, CIFAR100) == []
    dcbench.write({"tiny-imagenet": (TINY_IMAGENET, random_set(TINY_IMAGENET))}, tmp_path)
    assert (tmp_path / "res_somemethod_TinyImageNet_ConvNet_1ipc.pt").is_file()


def test_read_rejects_several_matching_files(tmp_path):
    for method in ("A", "B"):
        torch.save({"data": []}, tmp_path / f"res_{method}_CIFAR10_ConvNet_1ipc.pt")
    with pytest.raises(UserError, match="more than one res_METHOD_CIFAR10"):
        dcbench.read(tmp_path, CIFAR10)
