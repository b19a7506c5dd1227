"""Real datasets: small files in the exact published layouts, and what happens when they are not as published."""

import gzip
import hashlib
import json
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from benchmark_adapters import datasets
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.types import UserError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def _no_files_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("DDBENCH_DATA", raising=False)
    monkeypatch.setattr(datasets, "user_folder", lambda: tmp_path / "user")


def idx(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype(np.uint8).tobytes()
    )


@pytest.fixture
def clothes(tmp_path):
    """Five real test images as plain IDX files."""
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images[:5, 0]))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[:5]))
    return folder


# Names and order


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


# Fashion-MNIST


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


def test_the_data_folder_comes_before_the_environment_and_the_system(
    clothes, tmp_path, monkeypatch
):
    monkeypatch.setenv("DDBENCH_DATA", str(clothes.parent))
    assert datasets.find(FASHION_MNIST) == clothes
    other = tmp_path / "other"
    shutil.copytree(clothes, other)
    assert datasets.find(FASHION_MNIST, other) == other


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


def test_images_and_labels_must_agree(clothes):
    (clothes / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(4)))
    with pytest.raises(UserError, match="4 labels"):
        datasets.load(FASHION_MNIST, "test", clothes)
    (clothes / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(6, 11)))
    with pytest.raises(UserError, match=r"labels outside 0\.\.9"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_no_images_are_no_dataset(clothes):
    (clothes / "t10k-images-idx3-ubyte").write_bytes(idx(np.empty((0, 28, 28))))
    (clothes / "t10k-labels-idx1-ubyte").write_bytes(idx(np.empty(0)))
    with pytest.raises(UserError, match="has no images"):
        datasets.load(FASHION_MNIST, "test", clothes)


def test_a_data_folder_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"--data .*nowhere is no folder"):
        datasets.find(CIFAR10, tmp_path / "nowhere")


def test_bundled_files_are_checked_against_their_sums(tmp_path, monkeypatch):
    folder = tmp_path / "bundled"
    shutil.copytree(FASHION_MNIST.bundled, folder)
    file = folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), 1))
    assert (
        len(datasets.read_idx(folder, "test")[1]) == 10_000
    )  # elsewhere it is the user's own file
    monkeypatch.setattr(datasets, "PACKAGE", tmp_path)
    with pytest.raises(UserError, match="its sha256 is not the one in SHA256SUMS"):
        datasets.read_idx(folder, "test")


def test_a_dataset_that_is_not_bundled_says_so():
    with pytest.raises(UserError, match="cifar10 is not bundled"):
        datasets.load(CIFAR10, "test", bundled=True)


# CIFAR


def write_batch(path, images, **labels):
    path.write_bytes(pickle.dumps({"data": images.reshape(len(images), -1), **labels}))


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Small batches in the published layout; torchvision is told their md5 in place of the published ones'."""

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


def test_cifar100_batches(cifar):
    root, _, images = cifar()
    pixels, labels = datasets.load(CIFAR100, "train", root)
    assert np.array_equal(pixels, images["train"])
    assert labels.dtype == np.int64
    assert np.array_equal(datasets.load(CIFAR100, "test", root)[0], images["test"])


def test_cifar10_batches_in_order(cifar):
    root, _, images = cifar(CIFAR10.class_names)
    pixels, labels = datasets.load(CIFAR10, "train", root)
    assert np.array_equal(
        pixels, np.concatenate([images[f"data_batch_{number}"] for number in range(1, 6)])
    )
    assert len(labels) == 20


def test_cifar_is_never_unpickled_when_its_md5_is_wrong(cifar):
    root, folder, _ = cifar()
    trap = root / "trap"

    class Touch:
        def __reduce__(self):
            return Path.touch, (trap,)

    (folder / "train").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(
        UserError, match=r"cifar-100-python: a file is missing or has not its published md5"
    ):
        datasets.load(CIFAR100, "train", root)
    assert not trap.exists()


def test_published_cifar_sums_are_the_ones_asked_for(tmp_path):
    """Without the fixture's sums, a small batch is refused: the published md5 are in force."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for file in ("train", "test", "meta"):
        (folder / file).write_bytes(b"not the published file")
    with pytest.raises(UserError, match="md5"):
        datasets.load(CIFAR100, "test", tmp_path)


def test_class_names_of_another_order_are_an_error(cifar):
    names = list(CIFAR100.class_names)
    names[0], names[1] = names[1], names[0]
    root, _, _ = cifar(names)
    with pytest.raises(UserError, match="class names or their order"):
        datasets.load(CIFAR100, "train", root)


# Tiny-ImageNet


@pytest.fixture
def tiny(tmp_path):
    """The published folder with one training image for three classes and three validation images."""
    wnids = list(json.loads((datasets.PACKAGE / "labels" / "tiny-imagenet.json").read_text()))
    root = tmp_path / "tiny-imagenet-200"
    for number, wnid in enumerate((wnids[0], wnids[95], wnids[199])):
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        Image.new("RGB", (64, 64), (number, 0, 0)).save(images / f"{wnid}_0.JPEG")
    (root / "val" / "images").mkdir(parents=True)
    rows = []
    for number, label in enumerate((95, 0, 199)):
        mode = "L" if number == 1 else "RGB"  # some of the published files are grey
        Image.new(mode, (64, 64), 200 if mode == "L" else (10, 20, 30)).save(
            root / "val" / "images" / f"val_{number}.JPEG"
        )
        rows.append(f"val_{number}.JPEG\t{wnids[label]}\t0\t0\t62\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    (root / "wnids.txt").write_text(
        "\n".join(reversed(wnids)) + "\n"
    )  # the published file is not sorted either
    return root


def test_tiny_imagenet_labels_by_sorted_wordnet_id(tiny):
    images, labels = datasets.load(TINY_IMAGENET, "test", tiny.parent)
    assert labels.tolist() == [95, 0, 199]
    assert images.shape == (3, 3, 64, 64)
    assert images[1].min() == images[1].max() == 200
    assert datasets.load(TINY_IMAGENET, "train", tiny)[1].tolist() == [0, 95, 199]
    assert TINY_IMAGENET.class_names[95] == "crane"


def damage_encoding(root):
    (root / "wnids.txt").write_bytes(bytes(range(128, 256)))


def damage_wnids(root):
    (root / "wnids.txt").write_text(
        "n00000000\n" + "\n".join((root / "wnids.txt").read_text().splitlines()[1:])
    )


def damage_annotation(root):
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn99999999\t0\t0\t1\t1\n")


def damage_columns(root):
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG n01443537\n")


def damage_image(root):
    file = root / "val" / "images" / "val_2.JPEG"
    file.write_bytes(file.read_bytes()[:100])


def damage_size(root):
    Image.new("RGB", (32, 64)).save(root / "val" / "images" / "val_0.JPEG")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_wnids, "wnids.txt: its WordNet ids are not the 200"),
        (damage_encoding, "wnids.txt: its WordNet ids are not the 200"),
        (damage_annotation, "val_annotations.txt, line 1"),
        (damage_columns, "val_annotations.txt, line 1"),
        (damage_image, "val_2.JPEG: not readable as an image"),
        (damage_size, "val_0.JPEG: 32x64 pixels, expected 64x64"),
        (
            lambda root: (root / "val" / "val_annotations.txt").unlink(),
            "val_annotations.txt is missing",
        ),
        (
            lambda root: (root / "val" / "images" / "val_1.JPEG").unlink(),
            "val_1.JPEG: not readable",
        ),
    ],
)
def test_damaged_tiny_imagenet_is_named(tiny, damage, message):
    damage(tiny)
    with pytest.raises(UserError, match=message):
        datasets.load(TINY_IMAGENET, "test", tiny)


# Missing data


@pytest.mark.parametrize(
    ("dataset", "command"),
    [(CIFAR100, "ddbench data cifar100 --download"), (TINY_IMAGENET, "tiny-imagenet-200.zip")],
)
def test_missing_data_names_the_places_and_the_way(dataset, command, tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_DATA", str(tmp_path / "mine"))
    with pytest.raises(UserError) as caught:
        datasets.find(dataset)
    text = str(caught.value)
    assert text.count("\n") == 0
    assert all(
        part in text
        for part in (dataset.name, str(tmp_path / "mine"), str(tmp_path / "user"), command)
    )


def test_a_download_without_network_is_one_line(tmp_path, monkeypatch):
    """The network can't be used here; a closed proxy stands for its absence."""
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="fashion-mnist could not be downloaded") as caught:
        datasets.download(FASHION_MNIST, tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="tiny-imagenet has no download"):
        datasets.download(TINY_IMAGENET, tmp_path)
