"""The files of a run."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from sample_sets import float_set, random_set, real_set

from benchmark_adapters.datasets import CIFAR10, FASHION_MNIST
from benchmark_adapters.formats import imagefolder, native
from benchmark_adapters.types import UserError


def test_read_does_not_follow_links(tmp_path):
    native.write({"fashion-mnist": (FASHION_MNIST, real_set(2))}, tmp_path)
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "images.safetensors").symlink_to(tmp_path / "images.safetensors")
    with pytest.raises(UserError, match="is a symbolic link, which is not followed"):
        native.read(tmp_path / "team", FASHION_MNIST)
    with_linked_manifest = tmp_path / "other"
    native.write({"fashion-mnist": (FASHION_MNIST, real_set(2))}, with_linked_manifest)
    (with_linked_manifest / "manifest.json").unlink()
    (with_linked_manifest / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(UserError, match="is a symbolic link, which is not followed"):
        native.read(with_linked_manifest, FASHION_MNIST)
    (tmp_path / "pictures").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "pictures" / "private.png")
    (tmp_path / "team" / "00000").symlink_to(tmp_path / "pictures")
    with pytest.raises(UserError, match="00000 is a symbolic link, which is not followed"):
        imagefolder.find(tmp_path / "team", FASHION_MNIST)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"dataset": "cifar100"}, "the set is for cifar100, not for cifar10"),
        ({}, "images_float needs a normalisation with mean and std for 3 channel"),
        (
            {"normalisation": {"mean": [0, 0, 0], "std": [0, 0, 0]}},
            "images_float needs a normalisation",
        ),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_read_rejects_wrong_manifests(manifest, message, tmp_path):
    native.write({"cifar10": (CIFAR10, float_set(CIFAR10))}, tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        native.read(tmp_path, CIFAR10)


def is_on_disk(images):
    while images is not None:
        if isinstance(images, np.memmap):
            return True
        images = images.base
    return False


@pytest.mark.parametrize("make", [random_set, float_set])
def test_read_memory_maps_images(make, tmp_path):
    distilled = make(CIFAR10)
    native.write({"cifar10": (CIFAR10, distilled)}, tmp_path)
    back = native.read(tmp_path, CIFAR10)
    assert is_on_disk(back.images)
    assert back.sha256 == distilled.sha256
    back.images[0] = 0  # must not change the file
    assert native.read(tmp_path, CIFAR10).sha256 == distilled.sha256


def test_read_sorts_images_by_class(tmp_path):
    distilled = random_set(CIFAR10, ipc=2)
    order = np.random.default_rng(0).permutation(20)
    generated = np.arange(20) % 2 == 0
    save_file(
        {
            "images": distilled.images[order],
            "labels": distilled.labels[order].astype(np.int32),
            "generated": generated,
        },
        tmp_path / "images.safetensors",
    )
    back = native.read(tmp_path, CIFAR10)
    assert (back.labels.dtype, back.labels.tolist()) == (np.int64, distilled.labels.tolist())
    stable = np.argsort(distilled.labels[order], kind="stable")
    assert np.array_equal(back.images, distilled.images[order][stable])
    assert np.array_equal(back.generated, generated[stable])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((10, 3, 32, 32), np.float32)}, "images of type F32, expected U8"),
        ({"images": np.zeros((10, 1, 32, 32), np.uint8)}, r"expected \[n, 3, 32, 32\]"),
        ({"images": np.zeros((0, 3, 32, 32), np.uint8), "labels": np.arange(0)}, "no images"),
        ({"labels": np.arange(9)}, r"labels of type int64 and shape \[9\], expected int64 \[10\]"),
        ({"labels": np.arange(10) + 1}, "labels from 1 to 10, expected 0 to 9"),
        ({"generated": np.ones(10)}, "'generated' of type float64"),
    ],
)
def test_read_rejects_wrong_arrays(change, message, tmp_path):
    distilled = random_set(CIFAR10)
    arrays = {"images": distilled.images, "labels": distilled.labels, **change}
    save_file(arrays, tmp_path / "images.safetensors")
    with pytest.raises(UserError, match=rf"images.safetensors: .*{message}"):
        native.read(tmp_path, CIFAR10)


def test_read_rejects_files_other_than_safetensors(tmp_path):
    for content in (b"", b"junk", b"\xff" * 100):
        (tmp_path / "images.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="not readable as safetensors"):
            native.read(tmp_path, CIFAR10)
    save_file({"images": np.zeros(3, np.uint8)}, tmp_path / "images.safetensors")
    with pytest.raises(UserError, match="expected the arrays labels and images or images_float"):
        native.read(tmp_path, CIFAR10)


def test_read_takes_the_provenance_from_the_manifest(tmp_path):
    distilled = random_set(CIFAR10)
    native.write({"cifar10": (CIFAR10, distilled)}, tmp_path)
    path = tmp_path / "manifest.json"
    manifest = {**json.loads(path.read_text()), "seed": 3, "model": None, "options": {"a": 1}}
    path.write_text(json.dumps(manifest))
    assert native.read(tmp_path, CIFAR10).provenance == {"method": "some method", "seed": 3}
