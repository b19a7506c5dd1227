"""MTT's and DD-Ranking's files."""

import pytest
import torch
from sample_sets import random_set

from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST
from benchmark_adapters.formats.tensor_pair import DDRANKING, MTT
from benchmark_adapters.scoring.images import normalise
from benchmark_adapters.types import UserError


def test_ddranking_normalises_cifar100_like_cifar10(tmp_path):
    made = random_set(CIFAR100)
    DDRANKING.write({"cifar100": (CIFAR100, made)}, tmp_path)
    torch.testing.assert_close(torch.load(tmp_path / "images.pt"), normalise(made.images, CIFAR10))
    assert torch.load(tmp_path / "labels.pt").tolist() == list(range(100))


@pytest.mark.parametrize(
    ("labels", "message"),
    [(torch.zeros(10), "labels of type float32"), (torch.arange(10) + 5, "labels from 5 to 14")],
)
def test_read_rejects_wrong_labels(labels, message, tmp_path):
    torch.save(torch.zeros(10, 1, 28, 28), tmp_path / "images_best.pt")
    torch.save(labels, tmp_path / "labels_best.pt")
    with pytest.raises(UserError, match=message):
        MTT.read(tmp_path, FASHION_MNIST)
