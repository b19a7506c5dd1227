"""Finding and loading datasets."""

import dataclasses
import shutil

import numpy as np
import pytest
from idx_files import idx

from benchmark_adapters import datasets
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.types import UserError


def test_class_names_are_in_label_order():
    assert CIFAR10.class_names[:4] == ("airplane", "automobile", "bird", "cat")
    assert list(CIFAR100.class_names) == sorted(CIFAR100.class_names)
    assert len(set(CIFAR100.class_names)) == 100
    assert FASHION_MNIST.class_names[5:] == ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    assert TINY_IMAGENET.class_names[0] == "goldfish"
    assert len(TINY_IMAGENET.class_names) == len(TINY_IMAGENET.synonyms) == 200
    assert all(
        words[0] == name
        for name, words in zip(TINY_IMAGENET.class_names, TINY_IMAGENET.synonyms, strict=True)
    )


def test_find_prefers_the_data_folder_to_the_environment_and_the_system(
    clothes, tmp_path, monkeypatch
):
    monkeypatch.setenv("DDBENCH_DATA", str(clothes.parent))
    assert datasets.find(FASHION_MNIST) == clothes
    other = tmp_path / "other"
    shutil.copytree(clothes, other)
    assert datasets.find(FASHION_MNIST, other) == other


def test_load_rejects_labels_that_do_not_fit_the_images(clothes):
    (clothes / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(4)))
    with pytest.raises(
        UserError, match=r"has labels of type int64 and shape \[4\], expected int64 \[5\]"
    ):
        datasets.load(FASHION_MNIST, "test", clothes)
    (clothes / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(6, 11)))
    with pytest.raises(UserError, match="labels from 6 to 10, expected 0 to 9"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_load_rejects_a_split_without_images(clothes):
    (clothes / "t10k-images-idx3-ubyte").write_bytes(idx(np.empty((0, 28, 28))))
    (clothes / "t10k-labels-idx1-ubyte").write_bytes(idx(np.empty(0)))
    with pytest.raises(UserError, match="has no images"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_find_rejects_a_missing_data_folder(tmp_path):
    with pytest.raises(UserError, match=r"--data .*nowhere is not a folder"):
        datasets.find(CIFAR10, tmp_path / "nowhere")


def test_load_rejects_datasets_that_are_not_bundled():
    with pytest.raises(UserError, match="cifar10 is not bundled"):
        datasets.load(CIFAR10, "test", bundled=True)


@pytest.mark.parametrize(
    ("dataset", "command"),
    [(CIFAR100, "ddbench data cifar100 --download"), (TINY_IMAGENET, "tiny-imagenet-200.zip")],
)
def test_find_lists_the_searched_folders_and_how_to_get_the_data(
    dataset, command, tmp_path, monkeypatch
):
    monkeypatch.setenv("DDBENCH_DATA", str(tmp_path / "mine"))
    with pytest.raises(UserError) as caught:
        datasets.find(dataset)
    text = str(caught.value)
    assert text.count("\n") == 0
    assert all(
        part in text
        for part in (dataset.name, str(tmp_path / "mine"), str(tmp_path / "user"), command)
    )


def test_a_folder_that_was_not_recognised_is_said(clothes, tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_DATA", str(clothes.parent))
    assert datasets.overlooked(FASHION_MNIST, None, datasets.find(FASHION_MNIST)) == ""
    assert datasets.overlooked(FASHION_MNIST, clothes, datasets.find(FASHION_MNIST, clothes)) == ""
    mine = tmp_path / "mine"
    shutil.copytree(clothes, mine / "FMNIST")
    shutil.copytree(clothes, tmp_path / "user" / "fashion-mnist")
    used = dataclasses.replace(FASHION_MNIST, system_folders=())
    folder = datasets.find(used, mine)
    assert folder == tmp_path / "user" / "fashion-mnist"
    text = datasets.overlooked(used, mine, folder)
    assert text.startswith(
        f"fashion-mnist was not recognised in {mine}, so the copy in {folder} is"
    )


def test_download_without_network_is_a_one_line_error(tmp_path, monkeypatch):
    """A closed proxy port simulates the missing network."""
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="fashion-mnist could not be downloaded") as caught:
        datasets.download(FASHION_MNIST, tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="tiny-imagenet has no automatic download"):
        datasets.download(TINY_IMAGENET, tmp_path)
