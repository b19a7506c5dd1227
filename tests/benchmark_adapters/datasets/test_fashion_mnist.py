"""Fashion-MNIST's files, and what happens when they are not as published."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST, fashion_mnist
from benchmark_adapters.types import UserError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def test_bundled_fashion_mnist_is_the_published_test_split_and_100_training_images_per_class():
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    assert images.shape == (10_000, 1, 28, 28)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [1000] * 10
    raw = gzip.decompress((FASHION_MNIST.bundled / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert images.tobytes() == raw[16:]
    assert (
        np.bincount(datasets.load(FASHION_MNIST, "train", bundled=True)[1]).tolist() == [100] * 10
    )


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_bundled_images_are_the_whole_test_split_and_the_first_training_images_of_each_class():
    whole, part = (
        datasets.load(FASHION_MNIST, "test"),
        datasets.load(FASHION_MNIST, "test", bundled=True),
    )
    assert datasets.digest(*whole) == datasets.digest(*part)
    images, labels = datasets.load(FASHION_MNIST, "train")
    first = np.sort(np.concatenate([np.flatnonzero(labels == label)[:100] for label in range(10)]))
    bundled = datasets.load(FASHION_MNIST, "train", bundled=True)
    assert np.array_equal(images[first], bundled[0])
    assert np.array_equal(labels[first], bundled[1])


def test_idx_files_plain_or_gzipped_below_the_data_folder(clothes):
    plain = datasets.load(FASHION_MNIST, "test", clothes.parent)
    for file in clothes.iterdir():
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    zipped = datasets.load(FASHION_MNIST, "test", clothes)
    assert np.array_equal(plain[0], datasets.load(FASHION_MNIST, "test", bundled=True)[0][:5])
    assert all(np.array_equal(a, b) for a, b in zip(plain, zipped, strict=True))


def test_idx_files_where_torchvision_downloads_them(clothes, tmp_path):
    raw = tmp_path / "elsewhere" / "FashionMNIST" / "raw"
    shutil.copytree(clothes, raw)
    assert len(datasets.load(FASHION_MNIST, "test", tmp_path / "elsewhere")[0]) == 5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], r"3919 bytes of data where its header says \(5, 28, 28\)"),
        (lambda content: content[:10], "no IDX file of bytes in 3 dimension"),
        (lambda content: b"<html>not found</html>", "no IDX file"),
        (lambda content: content[:3] + b"\x01" + content[4:], "no IDX file"),
    ],
)
def test_damaged_idx_files_are_named(clothes, damage, message):
    file = clothes / "t10k-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=f"{file}: .*{message}"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_truncated_gzip_is_named(clothes):
    file = clothes / "t10k-labels-idx1-ubyte"
    file.with_suffix(".gz").write_bytes(gzip.compress(file.read_bytes())[:-9])
    file.unlink()
    with pytest.raises(UserError, match="damaged gzip file"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_half_a_dataset_names_the_missing_file(clothes):
    (clothes / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\[.gz\] is missing"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_bundled_files_are_checked_against_their_sums(tmp_path, monkeypatch):
    folder = tmp_path / "bundled"
    shutil.copytree(FASHION_MNIST.bundled, folder)
    file = folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), 1))
    assert (
        len(datasets.read_idx(folder, "test")[1]) == 10_000
    )  # elsewhere it is the user's own file
    monkeypatch.setattr(fashion_mnist, "BUNDLED", folder)
    with pytest.raises(UserError, match="its sha256 is not the one in SHA256SUMS"):
        datasets.read_idx(folder, "test")
