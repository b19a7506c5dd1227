"""Round trips through all formats."""

import numpy as np
import pytest
from sample_sets import float_set, random_set, real_set

from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.formats import FORMATS
from benchmark_adapters.types import UserError

FORMAT = {format.name: format for format in FORMATS}
# The others store pixels in another range.
TENSORS = [name for name in FORMAT if name not in ("imagefolder", "idc")]


def write_and_read(name, sets, folder):
    FORMAT[name].write(sets, folder)
    return {key: FORMAT[name].read(folder, dataset) for key, (dataset, _) in sets.items()}


@pytest.mark.parametrize("name", FORMAT)
@pytest.mark.parametrize(
    "dataset", [FASHION_MNIST, CIFAR10, CIFAR100, TINY_IMAGENET], ids=lambda dataset: dataset.name
)
def test_round_trip_preserves_bytes(name, dataset, tmp_path):
    made = real_set(2) if dataset is FASHION_MNIST else random_set(dataset)
    back = write_and_read(name, {dataset.name: (dataset, made)}, tmp_path)[dataset.name]
    assert back.images.dtype == np.uint8
    assert np.array_equal(back.images, made.images)
    assert np.array_equal(back.labels, made.labels)
    assert back.normalisation is None
    assert FORMAT[name].find(tmp_path, dataset)


@pytest.mark.parametrize("name", TENSORS)
def test_round_trip_preserves_floats(name, tmp_path):
    made = float_set(CIFAR10)
    back = write_and_read(name, {"cifar10": (CIFAR10, made)}, tmp_path)["cifar10"]
    assert back.images.dtype == np.float32
    assert np.array_equal(back.images, made.images)
    assert back.normalisation == made.normalisation


@pytest.mark.parametrize("name", FORMAT)
def test_one_folder_holds_the_sets_of_several_datasets(name, tmp_path):
    sets = {dataset.name: (dataset, random_set(dataset)) for dataset in (CIFAR100, TINY_IMAGENET)}
    back = write_and_read(name, sets, tmp_path)
    assert all(np.array_equal(back[key].images, made.images) for key, (_, made) in sets.items())


def test_read_names_missing_files(tmp_path):
    for name, expected in {
        "eccv2024": "no cifar10.pt",
        "mtt": "no images_best.pt and labels_best.pt",
        "dcbench": "no res_METHOD_CIFAR10_ConvNet_Nipc.pt",
        "idc": "no data.pt",
        "npz": r"no \*.npz",
        "native": "no images.safetensors",
    }.items():
        with pytest.raises(UserError, match=expected):
            FORMAT[name].read(tmp_path, CIFAR10)
    with pytest.raises(UserError, match="no folders of image files"):
        FORMAT["imagefolder"].read(tmp_path, CIFAR10)
