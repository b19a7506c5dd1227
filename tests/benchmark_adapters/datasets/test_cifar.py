"""CIFAR's batches in the published layout, and errors if they differ from it."""

import hashlib
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torchvision

from benchmark_adapters import datasets
from benchmark_adapters.datasets import CIFAR10, CIFAR100
from benchmark_adapters.types import UserError


def write_batch(path, images, **labels):
    path.write_bytes(pickle.dumps({"data": images.reshape(len(images), -1), **labels}))


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Write small batches in the published layout, with MD5s that torchvision accepts."""

    def make(names=None):
        rng = np.random.default_rng(0)
        root, hundred = tmp_path / "data", names is None or len(names) == 100
        loader = torchvision.datasets.CIFAR100 if hundred else torchvision.datasets.CIFAR10
        folder = root / loader.base_folder
        folder.mkdir(parents=True)
        images = {}
        for file, _ in loader.train_list + loader.test_list:
            images[file] = rng.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
            labels = rng.integers(0, 10, 4).tolist()
            write_batch(
                folder / file,
                images[file],
                **({"fine_labels": labels} if hundred else {"labels": labels}),
            )
        meta = loader.meta
        (folder / meta["filename"]).write_bytes(
            pickle.dumps({meta["key"]: list(names or CIFAR100.class_names)})
        )
        sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        monkeypatch.setattr(
            loader, "train_list", [[file, sums[file]] for file, _ in loader.train_list]
        )
        monkeypatch.setattr(
            loader, "test_list", [[file, sums[file]] for file, _ in loader.test_list]
        )
        monkeypatch.setattr(loader, "meta", {**meta, "md5": sums[meta["filename"]]})
        return root, folder, images

    return make


def test_load_reads_cifar100(cifar):
    root, _, images = cifar()
    pixels, labels = datasets.load(CIFAR100, "train", root)
    assert np.array_equal(pixels, images["train"])
    assert labels.dtype == np.int64
    assert np.array_equal(datasets.load(CIFAR100, "test", root)[0], images["test"])


def test_load_reads_the_batches_of_cifar10_in_order(cifar):
    root, _, images = cifar(CIFAR10.class_names)
    pixels, labels = datasets.load(CIFAR10, "train", root)
    assert np.array_equal(
        pixels, np.concatenate([images[f"data_batch_{number}"] for number in range(1, 6)])
    )
    assert len(labels) == 20


def test_load_does_not_unpickle_files_with_a_wrong_md5(cifar):
    root, folder, _ = cifar()
    trap = root / "trap"

    class Touch:
        def __reduce__(self):
            return Path.touch, (trap,)

    (folder / "train").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(UserError, match="cifar-100-python/train is not the published file"):
        datasets.load(CIFAR100, "train", root)
    assert not trap.exists()
    # The other split can be used.
    assert len(datasets.load(CIFAR100, "test", root)[0]) == 4


def test_load_verifies_the_published_md5(tmp_path):
    """Without the fixture, files with a different MD5 are rejected."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for file in ("train", "test", "meta"):
        (folder / file).write_bytes(b"not the published file")
    with pytest.raises(UserError, match="MD5"):
        datasets.load(CIFAR100, "test", tmp_path)


def test_the_folder_of_the_batches_may_be_named_itself(cifar, monkeypatch):
    _, folder, images = cifar()
    assert np.array_equal(datasets.load(CIFAR100, "test", folder)[0], images["test"])
    monkeypatch.chdir(folder)
    assert np.array_equal(datasets.load(CIFAR100, "test", Path())[0], images["test"])


def test_the_published_archive_is_read(cifar, monkeypatch):
    root, folder, images = cifar()
    archive = root / torchvision.datasets.CIFAR100.filename
    with tarfile.open(archive, "w:gz") as target:
        target.add(folder, folder.name)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"cifar-100-python\.tar\.gz is not the published file"):
        datasets.load(CIFAR100, "test", root)
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "tgz_md5", md5)
    for split in ("train", "test"):
        assert np.array_equal(datasets.load(CIFAR100, split, root)[0], images[split])
    assert list(root.iterdir()) == [archive]


def test_what_is_missing_is_named_when_the_data_is_found(cifar):
    root, folder, _ = cifar(CIFAR10.class_names)
    for number in (2, 5):
        (folder / f"data_batch_{number}").unlink()
    assert datasets.find(CIFAR10, root) == root
    lacking = (
        "its train split lacks cifar-10-batches-py/data_batch_2, cifar-10-batches-py/data_batch_5"
    )
    assert lacking in datasets.lacking(CIFAR10, root, "train")
    with pytest.raises(UserError, match=f"{lacking}; download it with"):
        datasets.load(CIFAR10, "train", root)
    (folder / "batches.meta").unlink()
    with pytest.raises(UserError, match=r"its test split lacks cifar-10-batches-py/batches\.meta"):
        datasets.load(CIFAR10, "test", root)


def test_load_rejects_class_names_in_a_different_order(cifar):
    names = list(CIFAR100.class_names)
    names[0], names[1] = names[1], names[0]
    root, _, _ = cifar(names)
    with pytest.raises(UserError, match="class names or their order"):
        datasets.load(CIFAR100, "train", root)
