"""Folders of image files."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from sample_sets import float_set, real_set

from benchmark_adapters.datasets import CIFAR10, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.datasets.tiny_imagenet import SYNONYMS
from benchmark_adapters.formats import imagefolder
from benchmark_adapters.types import DistilledSet, UserError


@pytest.fixture(scope="module")
def clothes():
    return real_set(2)


def test_write_rejects_float_images(tmp_path):
    with pytest.raises(UserError, match="has float32 images, which PNG files can't store"):
        imagefolder.write({"cifar10": (CIFAR10, float_set(CIFAR10))}, tmp_path)


def test_datasets_library_reads_the_folder(clothes, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    load_dataset = pytest.importorskip("datasets").load_dataset
    imagefolder.write({"fashion-mnist": (FASHION_MNIST, clothes)}, tmp_path / "set")
    read = load_dataset(
        "imagefolder",
        data_dir=str(tmp_path / "set"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    rows = sorted(read, key=lambda row: row["label"])
    assert [row["label"] for row in rows] == clothes.labels.tolist()
    assert rows[-1]["class_name"] == "Ankle boot"
    assert {np.asarray(row["image"]).tobytes() for row in rows} == {
        image.tobytes() for image in clothes.images
    }


@pytest.mark.parametrize(
    "layout",
    [
        "new{label:03}/class{label:03}_id{number:03}.jpg",
        "{label:05}/class{label:05}_id{number:05}.jpg",
    ],
)
def test_read_accepts_the_layouts_of_sre2l_and_rded(layout, clothes, tmp_path):
    for row, (image, label) in enumerate(zip(clothes.images, clothes.labels, strict=True)):
        file = tmp_path / layout.format(label=label, number=row % 2)
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(image[0]).convert("RGB").save(file, quality=95)
    back = imagefolder.read(tmp_path, FASHION_MNIST)
    assert np.array_equal(back.labels, clothes.labels)
    # JPEG is lossy.
    assert np.abs(back.images.astype(int) - clothes.images).mean() < 3


def test_read_accepts_folders_named_after_classes(tmp_path):
    for label, name in enumerate(CIFAR10.class_names):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32), (label, 0, 0)).save(tmp_path / name / "a.png")
    back = imagefolder.read(tmp_path, CIFAR10)
    assert back.images[:, 0, 0, 0].tolist() == back.labels.tolist() == list(range(10))


def test_read_does_not_decode_images_of_the_wrong_size(tmp_path):
    """A PNG can claim any size, so it is rejected because of its header."""
    (tmp_path / "00000").mkdir()
    file = tmp_path / "00000" / "class00000_id00000.png"
    Image.new("L", (28, 28)).save(file)
    raw = bytearray(file.read_bytes())
    raw[16:24] = struct.pack(">II", 60_000, 600)
    raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
    file.write_bytes(raw)
    with pytest.raises(
        UserError, match=r"class00000_id00000.png: 60000x600 pixels, expected 28x28"
    ):
        imagefolder.read(tmp_path, FASHION_MNIST)


def test_larger_pictures_are_resized_where_that_is_wanted(tmp_path):
    """D4M and MinimaxDiffusion write pictures of 224 and 256 pixels."""
    for label in range(10):
        (tmp_path / f"{label:05}").mkdir()
        picture = Image.new("RGB", (256, 300), (20 * label, 0, 0))
        picture.save(tmp_path / f"{label:05}" / "a.png")
    with pytest.raises(UserError, match="256x300 pixels, expected 32x32; --image-size 32 resizes"):
        imagefolder.read(tmp_path, CIFAR10)
    back = imagefolder.read_resized(tmp_path, CIFAR10)
    assert back.images.shape == (10, 3, 32, 32)
    assert back.images[:, 0, 16, 16].tolist() == (20 * back.labels).tolist()


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("I;16", "image mode I;16, expected at most 8 bits per channel"),
        ("RGBA", "it is transparent"),
        ("junk", "not readable as an image"),
    ],
)
def test_read_rejects_pictures_that_would_lose_information(mode, message, tmp_path):
    (tmp_path / "00000").mkdir()
    file = tmp_path / "00000" / "a.png"
    if mode == "junk":
        file.write_bytes(b"junk")
    else:
        Image.new(mode, (28, 28)).save(file)
    with pytest.raises(UserError, match=message):
        imagefolder.read(tmp_path, FASHION_MNIST)


def test_read_accepts_other_formats_and_opaque_pictures(tmp_path):
    for label, suffix in enumerate(["webp", "bmp", "png", "JPG", *["png"] * 6]):
        (tmp_path / f"{label:05}").mkdir()
        picture = Image.new("RGBA", (32, 32), (10 * label, 0, 0, 255))
        picture = picture if suffix in ("png", "webp") else picture.convert("RGB")
        picture.save(tmp_path / f"{label:05}" / f"a.{suffix}", lossless=True, quality=95)
    back = imagefolder.read(tmp_path, CIFAR10)
    assert np.abs(back.images[:, 0, 0, 0] - 10 * back.labels).max() <= 2


@pytest.mark.parametrize("level", ["", "train"])
def test_read_compares_names_without_case_and_punctuation(tmp_path, level):
    names = ["t-shirt_TOP", "trouser", "PULLOVER", "Dress", "coat", "Sandal", "shirt", "sneaker"]
    for label, name in enumerate([*names, "bag", "ankle-boot"]):
        folder = tmp_path / level / name
        folder.mkdir(parents=True)
        Image.new("L", (28, 28), label).save(folder / "a.png")
        # Left by macOS.
        (folder / "._a.png").write_bytes(b"junk")
    (tmp_path / "__MACOSX").mkdir()
    back = imagefolder.read(tmp_path, FASHION_MNIST)
    assert back.images[:, 0, 0, 0].tolist() == back.labels.tolist() == list(range(10))
    (tmp_path / level / "hat").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / level / "hat" / "a.png")
    with pytest.raises(UserError, match=r"not named after a class of fashion-mnist: hat$"):
        imagefolder.read(tmp_path, FASHION_MNIST)


def test_read_accepts_folders_named_by_wordnet_id(tmp_path):
    for label, wnid in enumerate(SYNONYMS):
        (tmp_path / wnid).mkdir()
        Image.new("RGB", (64, 64), (label, 0, 0)).save(tmp_path / wnid / "0.png")
    back = imagefolder.read(tmp_path, TINY_IMAGENET)
    assert back.images[:, 0, 0, 0].tolist() == back.labels.tolist() == list(range(200))


def test_write_gives_every_image_of_an_unbalanced_set_its_own_name(clothes, tmp_path):
    uneven = DistilledSet(
        clothes.images[:-1],
        np.sort(clothes.labels[1:] * (clothes.labels[1:] != 5)),
        FASHION_MNIST.class_names,
        clothes.generated[1:],
    )
    imagefolder.write({"fashion-mnist": (FASHION_MNIST, uneven)}, tmp_path)
    back = imagefolder.read(tmp_path, FASHION_MNIST)
    assert np.array_equal(back.labels, uneven.labels)
    assert np.array_equal(back.images, uneven.images)
