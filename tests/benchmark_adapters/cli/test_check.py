"""The command ``check``."""

import json
import shutil

import numpy as np
import picture_folders
import pytest
import torch
from PIL import Image
from sample_sets import normalised_set, real_set

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring.images import normalise

pytestmark = pytest.mark.usefixtures("untrained_probe")
EXAMPLE = ("--format", "eccv2024", "--dataset", "few")


def test_check_accepts_a_good_set_and_rejects_bad_ones(ddbench, example_folder, submission):
    good = ddbench("check", "team", *EXAMPLE, "--json", path=[example_folder])
    document = json.loads(good.stdout)
    assert (good.returncode, document["ok"]) == (0, True)
    assert (document["images"], document["ipc"], document["pixels"]) == (20, 2, "uint8")
    other = ddbench("check", "team", *EXAMPLE, "--track", "eccv2024-fixed", path=[example_folder])
    assert other.returncode == 1
    assert other.stderr.splitlines() == [
        "error: track eccv2024-fixed takes cifar100 and tiny-imagenet, not few",
        "error: 2 images per class, but track eccv2024-fixed takes 10",
    ]
    torch.save(torch.load(submission / "few.pt") * float("nan"), submission / "few.pt")
    bad = ddbench("check", "team/few.pt", *EXAMPLE, path=[example_folder])
    assert bad.returncode == 1
    message = "20 of 20 images have NaN or infinite values; the first is image 0"
    assert bad.stderr == f"error: {message}\n"
    (submission / "few.pt").write_text("junk")
    unreadable = ddbench("check", "team/few.pt", *EXAMPLE, path=[example_folder])
    assert unreadable.returncode == 1
    assert unreadable.stderr.startswith("error: not readable: ")
    assert unreadable.stderr.count("\n") == 1
    unreadable = ddbench("check", "team/few.pt", *EXAMPLE, "--json", path=[example_folder])
    document = json.loads(unreadable.stdout)
    assert (document["ok"], document["images"]) == (False, 0)
    assert document["findings"][0]["level"] == "error"


def test_check_tells_the_format_and_resizes_pictures(ddbench, example_folder, tmp_path):
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    for label in range(10):
        (tmp_path / "team" / f"{label:05}").mkdir(parents=True)
        picture = Image.fromarray(images[np.flatnonzero(labels == label)[0], 0])
        picture.resize((56, 56)).save(tmp_path / "team" / f"{label:05}" / "a.png")
    shutil.make_archive(str(tmp_path / "team"), "zip", tmp_path / "team")
    command = ("--dataset", "few", "--json")
    for path in ("team", "team.zip"):
        resized = ddbench("check", path, *command, "--image-size", "28", path=[example_folder])
        assert resized.returncode == 0, resized.stdout
        document = json.loads(resized.stdout)
        assert (document["format"], document["images"]) == ("imagefolder", 10)
    refused = ddbench("check", "team", *command, path=[example_folder])
    assert "56x56 pixels, expected 28x28; --image-size 28 resizes" in refused.stdout
    other = ddbench("check", "team", *command, "--image-size", "32", path=[example_folder])
    assert other.returncode == 2
    assert "--image-size 32: images of few have 28x28 pixels" in other.stderr


def test_check_finds_a_shuffled_class_order_in_real_images(ddbench, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark_adapters.checks.class_order.MAX_STEPS", 50)
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    order = [5, 8, 1, 9, 7, 3, 4, 0, 6, 2]
    rows = np.concatenate([np.flatnonzero(labels == label)[:10] for label in order])
    torch.save(normalise(images[rows], FASHION_MNIST), tmp_path / "set.pt")
    done = ddbench("check", "set.pt", "--format", "eccv2024", "--dataset", "fashion-mnist")
    assert done.returncode == 1
    assert "% in another order: " in done.stderr
    assert "are probably Sandal, Bag, Trouser, Ankle boot, Sneaker" in done.stderr


def test_check_works_without_real_data(ddbench, tmp_path):
    noise = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.save(noise, tmp_path / "set.pt")
    folders = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "DDBENCH_DATA": ""}
    done = ddbench("check", "set.pt", "--format", "eccv2024", "--dataset", "cifar10", **folders)
    assert done.returncode == 0, done.stderr
    assert "note: class order not checked: dataset cifar10 was not found in" in done.stdout
    assert "note: no copies of real images were looked for: dataset cifar10 was not" in done.stdout


@pytest.mark.parametrize(
    ("noise", "found", "share"),
    [
        (0, "error: 20 of 20 images are copies of test images: image 0 (T-s", (1, 0, 0, 0)),
        (0.001, "error: 20 of 20 images are copies of test images: image 0 ", (1, 0, 0, 0)),
        (0.05, "warning: 20 of 20 images are nearly equal to a test image, ", (0, 1, 0, 0)),
    ],
)
def test_check_finds_test_images(ddbench, example_folder, tmp_path, noise, found, share):
    """They are normalised as the challenge's files are. With the least noise, they stay floats."""
    images = normalised_set(real_set(2)).images
    noisy = images + np.random.default_rng(0).normal(0, noise, images.shape)
    torch.save(torch.tensor(noisy, dtype=torch.float32), tmp_path / "set.pt")
    done = ddbench("check", "set.pt", *EXAMPLE, "--json", path=[example_folder])
    document = json.loads(done.stdout)
    assert done.returncode == int(found.startswith("error"))
    assert tuple(document["copies"].values()) == share
    assert document["pixels"] == ("uint8" if noise == 0 else "float32")
    texts = [f"{one['level']}: {one['text']}" for one in document["findings"]]
    assert any(text.startswith(found) for text in texts)


def test_pictures_in_both_splits_are_no_copies_of_test_images(ddbench, tmp_path):
    """The set has the pictures of the folder's test split, which are all for training too."""
    picture_folders.write(tmp_path / "clothes", splits=("test",))
    shutil.copytree(tmp_path / "clothes" / "test", tmp_path / "clothes" / "train")
    shutil.copytree(tmp_path / "clothes" / "test", tmp_path / "team")
    command = ("check", "team", "--format", "imagefolder", "--dataset", "imagefolder:clothes")
    done = ddbench(*command, "--json")
    assert (done.returncode, json.loads(done.stdout)["copies"]["train_exact"]) == (0, 1), (
        done.stdout
    )
    shutil.rmtree(tmp_path / "clothes" / "train")
    picture_folders.write(tmp_path / "clothes", splits=("other", "train"))
    document = json.loads(ddbench(*command, "--json").stdout)
    assert (document["ok"], document["copies"]["test_exact"]) == (False, 1), document
