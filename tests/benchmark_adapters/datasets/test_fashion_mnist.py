"""Fashion-MNIST's files, and errors if they are damaged."""

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


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_no_image_is_in_both_splits():
    """So a copy of a test image is one, even if the training split can't be looked at."""
    train, test = (datasets.load(FASHION_MNIST, split)[0] for split in ("train", "test"))
    either_way = np.concatenate([test, test[..., ::-1]])
    assert FASHION_MNIST.has_disjoint_splits
    assert {image.tobytes() for image in train}.isdisjoint(map(np.ndarray.tobytes, either_way))


def test_load_reads_plain_and_gzipped_idx_files(clothes):
    plain = datasets.load(FASHION_MNIST, "test", clothes.parent)
    for file in clothes.iterdir():
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    zipped = datasets.load(FASHION_MNIST, "test", clothes)
    assert np.array_equal(plain[0], datasets.load(FASHION_MNIST, "test", bundled=True)[0][:5])
    assert all(np.array_equal(a, b) for a, b in zip(plain, zipped, strict=True))


def test_load_reads_files_downloaded_by_torchvision(clothes, tmp_path):
    raw = tmp_path / "elsewhere" / "FashionMNIST" / "raw"
    shutil.copytree(clothes, raw)
    assert len(datasets.load(FASHION_MNIST, "test", tmp_path / "elsewhere")[0]) == 5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], r"3919 bytes of data, but the header says \(5, 28, 28\)"),
        (lambda content: content[:10], "not an IDX file of bytes with 3 dimension"),
        (lambda content: b"<html>not found</html>", "not an IDX file"),
        (lambda content: content[:3] + b"\x01" + content[4:], "not an IDX file"),
    ],
)
def test_load_names_damaged_idx_files(clothes, damage, message):
    file = clothes / "t10k-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=f"{file}: .*{message}"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_load_rejects_truncated_gzip_files(clothes):
    file = clothes / "t10k-labels-idx1-ubyte"
    file.with_suffix(".gz").write_bytes(gzip.compress(file.read_bytes())[:-9])
    file.unlink()
    with pytest.raises(UserError, match="damaged gzip file"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_load_names_a_missing_file(clothes):
    (clothes / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="its test split lacks t10k-labels-idx1-ubyte; "):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_read_idx_verifies_the_checksums_of_bundled_files(tmp_path, monkeypatch):
    folder = tmp_path / "bundled"
    shutil.copytree(FASHION_MNIST.bundled, folder)
    file = folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), 1))
    # In any other folder, it could be the user's own file.
    assert len(datasets.read_idx(folder, "test")[1]) == 10_000
    monkeypatch.setattr(fashion_mnist, "BUNDLED", folder)
    with pytest.raises(UserError, match="the SHA-256 does not match SHA256SUMS"):
        datasets.read_idx(folder, "test")
