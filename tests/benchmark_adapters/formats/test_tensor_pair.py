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


def test_ddranking_labels_by_position_without_a_file_of_labels(tmp_path):
    made = random_set(CIFAR10)
    torch.save(normalise(made.images, CIFAR10), tmp_path / "images.pt")
    read = DDRANKING.read(tmp_path, CIFAR10)
    assert read.labels.tolist() == list(range(10))
    assert (read.images == made.images).all()
    torch.save(torch.zeros(7, 3, 32, 32), tmp_path / "images.pt")
    with pytest.raises(UserError, match="the same number of images for each"):
        DDRANKING.read(tmp_path, CIFAR10)
    (tmp_path / "images.pt").rename(tmp_path / "images_best.pt")
    with pytest.raises(UserError, match=r"no images_best\.pt and labels_best\.pt"):
        MTT.read(tmp_path, CIFAR10)


def test_a_file_of_a_pair_finds_its_partner(tmp_path):
    made = random_set(CIFAR10)
    images, labels = tmp_path / "images_5000.pt", tmp_path / "labels_5000.pt"
    torch.save(normalise(made.images, CIFAR10), images)
    with pytest.raises(UserError, match=r"images_5000\.pt: no labels_5000\.pt beside it"):
        MTT.read(images, CIFAR10)
    torch.save(torch.arange(10).flip(0), labels)
    for path in (images, labels):
        assert MTT.find(path, CIFAR10) == [images, labels]
        assert (MTT.read(path, CIFAR10).images == made.images[::-1]).all()
    images.unlink()
    with pytest.raises(UserError, match=r"labels_5000\.pt: no images_5000\.pt beside it"):
        DDRANKING.read(labels, CIFAR10)
    torch.save(normalise(made.images, CIFAR10), tmp_path / "mine.pt")
    with pytest.raises(UserError, match=r"named neither like images_best\.pt nor like labels_best"):
        MTT.read(tmp_path / "mine.pt", CIFAR10)
    assert (DDRANKING.read(tmp_path / "mine.pt", CIFAR10).images == made.images).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(tmp_path, dtype):
    images = torch.randn(10, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(dtype)
    torch.save(images, tmp_path / "images_best.pt")
    torch.save(torch.arange(10), tmp_path / "labels_best.pt")
    read = MTT.read(tmp_path, FASHION_MNIST)
    assert read.images.dtype == "float32"
    assert torch.equal(torch.from_numpy(read.images), images.float())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.rand(10, 10), r"labels of shape \[10, 10\] look like soft labels"),
        (torch.zeros(10), "labels of type float32"),
        (torch.arange(10) + 5, "labels from 5 to 14"),
    ],
)
def test_read_rejects_wrong_labels(labels, message, tmp_path):
    torch.save(torch.zeros(10, 1, 28, 28), tmp_path / "images_best.pt")
    torch.save(labels, tmp_path / "labels_best.pt")
    with pytest.raises(UserError, match=message):
        MTT.read(tmp_path, FASHION_MNIST)
