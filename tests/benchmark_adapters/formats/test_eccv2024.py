"""The ECCV 2024 challenge's files."""

import pytest
import torch
from sample_sets import random_set

from benchmark_adapters.datasets import CIFAR100, TINY_IMAGENET
from benchmark_adapters.formats import eccv2024


def test_write_produces_the_files_that_the_evaluator_reads(tmp_path):
    sets = {
        dataset.name: (dataset, random_set(dataset, 10)) for dataset in (CIFAR100, TINY_IMAGENET)
    }
    eccv2024.write(sets, tmp_path)
    tests = {
        dataset.name: (dataset, (made.images[:50], made.labels[:50]))
        for dataset, made in sets.values()
    }
    eccv2024.write_truth(tests, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "cifar100.pt",
        "cifar100_test.pt",
        "tinyimagenet.pt",
        "tinyimagenet_test.pt",
    ]
    for stem, (dataset, made) in zip(("cifar100", "tinyimagenet"), sets.values(), strict=True):
        images = torch.load(tmp_path / f"{stem}.pt")
        assert (images.dtype, list(images.shape)) == (
            torch.float32,
            [10 * dataset.num_classes, 3, dataset.image_size, dataset.image_size],
        )
        pixel = made.images[13, 1, 4, 7] / 255  # class 1, green
        assert images[13, 1, 4, 7].item() == pytest.approx(
            (pixel - dataset.mean[1]) / dataset.std[1], abs=1e-6
        )
        truth = torch.load(tmp_path / f"{stem}_test.pt")
        assert set(truth) == {"images_val", "labels_val"}
        torch.testing.assert_close(truth["images_val"], images[:50])
        assert truth["labels_val"].tolist() == made.labels[:50].tolist()
