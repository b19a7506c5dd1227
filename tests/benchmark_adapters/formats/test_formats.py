"""Formats in and out, with real images where the format takes them, and files that strangers might send."""

import json
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from attack import Attack
from PIL import Image

from benchmark_adapters import datasets
from benchmark_adapters import distilled as checks
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.formats import FORMATS, files
from benchmark_adapters.scoring import training
from benchmark_adapters.types import DistilledSet, UserError

FORMAT = {one.name: one for one in FORMATS}
TENSORS = [name for name in FORMAT if name != "imagefolder"]


@pytest.fixture(scope="module")
def clothes():
    """Two real images of each class of Fashion-MNIST."""
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    return checks.balanced(images[:200], labels[:200], np.ones(200, bool), FASHION_MNIST, 2)


def photos(dataset, ipc=1):
    """Random bytes stand for photos: the real ones are not at hand."""
    count = ipc * dataset.num_classes
    pixels = np.random.default_rng(0).integers(
        0, 256, (count, 3, dataset.image_size, dataset.image_size), dtype=np.uint8
    )
    return DistilledSet(
        pixels,
        np.arange(dataset.num_classes).repeat(ipc),
        dataset.class_names,
        np.ones(count, bool),
        {"method": "some method"},
    )


def optimised(dataset):
    """A float set whose values leave the range of pixels."""
    made = photos(dataset)
    images = np.random.default_rng(1).normal(0, 1.5, made.images.shape).astype(np.float32)
    return DistilledSet(
        images, made.labels, dataset.class_names, made.generated, {}, (dataset.mean, dataset.std)
    )


def there_and_back(name, sets, folder):
    folder.mkdir(exist_ok=True)
    FORMAT[name].write(sets, folder)
    return {key: FORMAT[name].read(folder, dataset) for key, (dataset, _) in sets.items()}


@pytest.mark.parametrize("name", FORMAT)
@pytest.mark.parametrize(
    "dataset", [FASHION_MNIST, CIFAR10, CIFAR100, TINY_IMAGENET], ids=lambda dataset: dataset.name
)
def test_bytes_come_back_as_the_same_bytes(name, dataset, clothes, tmp_path):
    made = clothes if dataset is FASHION_MNIST else photos(dataset)
    back = there_and_back(name, {dataset.name: (dataset, made)}, tmp_path)[dataset.name]
    assert back.images.dtype == np.uint8
    assert np.array_equal(back.images, made.images)
    assert np.array_equal(back.labels, made.labels)
    assert back.normalisation is None
    assert FORMAT[name].find(tmp_path, dataset)


@pytest.mark.parametrize("name", TENSORS)
def test_floats_stay_the_same_floats(name, tmp_path):
    made = optimised(CIFAR10)
    back = there_and_back(name, {"cifar10": (CIFAR10, made)}, tmp_path)["cifar10"]
    assert back.images.dtype == np.float32
    assert np.array_equal(back.images, made.images)
    assert back.normalisation == made.normalisation


def test_pictures_refuse_floats(tmp_path):
    with pytest.raises(UserError, match="is of float32 images, which pictures can't hold"):
        FORMAT["imagefolder"].write({"cifar10": (CIFAR10, optimised(CIFAR10))}, tmp_path)


@pytest.mark.parametrize("name", [*FORMAT])
def test_a_folder_holds_the_sets_of_several_datasets(name, tmp_path):
    sets = {dataset.name: (dataset, photos(dataset)) for dataset in (CIFAR100, TINY_IMAGENET)}
    back = there_and_back(name, sets, tmp_path)
    assert all(np.array_equal(back[key].images, made.images) for key, (_, made) in sets.items())


def test_eccv2024_is_what_the_evaluator_reads(clothes, tmp_path):
    sets = {dataset.name: (dataset, photos(dataset, 10)) for dataset in (CIFAR100, TINY_IMAGENET)}
    FORMAT["eccv2024"].write(sets, tmp_path)
    tests = {
        dataset.name: (dataset, (made.images[:50], made.labels[:50]))
        for dataset, made in sets.values()
    }
    FORMAT["eccv2024"].write_truth(tests, tmp_path)
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
        byte = made.images[13, 1, 4, 7] / 255  # class 1, green
        assert images[13, 1, 4, 7].item() == pytest.approx(
            (byte - dataset.mean[1]) / dataset.std[1], abs=1e-6
        )
        truth = torch.load(tmp_path / f"{stem}_test.pt")
        assert set(truth) == {"images_val", "labels_val"}
        torch.testing.assert_close(truth["images_val"], images[:50])
        assert truth["labels_val"].tolist() == made.labels[:50].tolist()


def test_dcbench_reads_the_last_pair_in_any_order(tmp_path):
    made = photos(CIFAR10)
    right = training.normalise(made.images, CIFAR10)
    shuffled = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    pairs = [
        [torch.zeros_like(right), torch.arange(10)],
        [right[shuffled], torch.arange(10)[shuffled]],
    ]
    torch.save({"data": pairs, "accs_all_exps": {}}, tmp_path / "res_DC_CIFAR10_ConvNet_1ipc.pt")
    assert np.array_equal(FORMAT["dcbench"].read(tmp_path, CIFAR10).images, made.images)
    assert FORMAT["dcbench"].find(tmp_path, CIFAR100) == []
    FORMAT["dcbench"].write({"tiny-imagenet": (TINY_IMAGENET, photos(TINY_IMAGENET))}, tmp_path)
    assert (tmp_path / "res_somemethod_TinyImageNet_ConvNet_1ipc.pt").is_file()


def test_ddranking_normalises_cifar100_by_cifar10s_numbers(tmp_path):
    made = photos(CIFAR100)
    FORMAT["ddranking"].write({"cifar100": (CIFAR100, made)}, tmp_path)
    torch.testing.assert_close(
        torch.load(tmp_path / "images.pt"), training.normalise(made.images, CIFAR10)
    )
    assert torch.load(tmp_path / "labels.pt").tolist() == list(range(100))


def test_imagefolder_is_read_by_the_datasets_library(clothes, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    load_dataset = pytest.importorskip("datasets").load_dataset
    FORMAT["imagefolder"].write({"fashion-mnist": (FASHION_MNIST, clothes)}, tmp_path / "set")
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
def test_folders_of_sre2l_and_rded_are_read(layout, clothes, tmp_path):
    for row, (image, label) in enumerate(zip(clothes.images, clothes.labels, strict=True)):
        file = tmp_path / layout.format(label=label, number=row % 2)
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(image[0]).convert("RGB").save(file, quality=95)
    back = FORMAT["imagefolder"].read(tmp_path, FASHION_MNIST)
    assert np.array_equal(back.labels, clothes.labels)
    assert np.abs(back.images.astype(int) - clothes.images).mean() < 3  # JPEG loses something


def test_folders_named_by_classes_are_read(clothes, tmp_path):
    for label, name in enumerate(CIFAR10.class_names):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32), (label, 0, 0)).save(tmp_path / name / "a.png")
    back = FORMAT["imagefolder"].read(tmp_path, CIFAR10)
    assert back.images[:, 0, 0, 0].tolist() == back.labels.tolist() == list(range(10))


def test_several_files_that_might_be_meant_are_an_error(tmp_path):
    for method in ("A", "B"):
        torch.save({"data": []}, tmp_path / f"res_{method}_CIFAR10_ConvNet_1ipc.pt")
    with pytest.raises(UserError, match="more than one res_METHOD_CIFAR10"):
        FORMAT["dcbench"].read(tmp_path, CIFAR10)


def zip_of_zeros(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda file: torch.save(Attack(str(file.parent / "executed")), file),
            "not readable as tensors alone",
        ),
        (
            lambda file: file.write_bytes(pickle.dumps(Attack(str(file.parent / "executed")))),
            "not readable as tensors alone",
        ),
        (lambda file: file.write_text("junk"), "not readable as tensors alone"),
        (lambda file: file.touch(), "not readable as tensors alone"),
        (zip_of_zeros, "its members are compressed, which torch.save doesn't do"),
        (
            lambda file: torch.save(torch.zeros(1).expand(10**12, 3, 28, 28), file),
            "is more than 4 GiB",
        ),
        (
            lambda file: torch.save(torch.zeros(10, 1, 28, 28).to_sparse(), file),
            "should be a plain tensor",
        ),
        (lambda file: torch.save([1, 2], file), "should be a plain tensor, not list"),
        (
            lambda file: torch.save(torch.zeros(10, 1, 28, 28).double(), file),
            r"images are float64 \[10, 1, 28, 28\], expected float32",
        ),
        (
            lambda file: torch.save(torch.zeros(10, 3, 28, 28), file),
            r"expected float32 \[N, 1, 28, 28\]",
        ),
        (
            lambda file: torch.save(torch.zeros(13, 1, 28, 28), file),
            "can't be divided among 10 classes by their position",
        ),
        (
            lambda file: torch.save(torch.zeros(0, 1, 28, 28), file),
            "can't be divided among 10 classes",
        ),
        (lambda file: torch.save(torch.zeros(()), file), "can't be divided among 10 classes"),
    ],
)
def test_files_of_strangers_execute_nothing_and_end_in_one_line(write, message, tmp_path):
    write(tmp_path / "fashionmnist.pt")
    with pytest.raises(UserError, match=message):
        FORMAT["eccv2024"].read(tmp_path, FASHION_MNIST)
    assert not (tmp_path / "executed").exists()


def test_large_files_are_not_loaded(tmp_path, monkeypatch):
    torch.save(torch.zeros(10, 1, 28, 28), tmp_path / "fashionmnist.pt")
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(UserError, match="a submission of more than"):
        FORMAT["eccv2024"].read(tmp_path, FASHION_MNIST)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(torch.zeros(10), "labels are float32"), (torch.arange(10) + 5, "labels from 5 to 14")],
)
def test_labels_that_are_none(labels, message, tmp_path):
    torch.save(torch.zeros(10, 1, 28, 28), tmp_path / "images_best.pt")
    torch.save(labels, tmp_path / "labels_best.pt")
    with pytest.raises(UserError, match=message):
        FORMAT["mtt"].read(tmp_path, FASHION_MNIST)


def test_a_picture_of_another_size_is_not_decoded(tmp_path):
    """A PNG may claim any size; its header is enough to refuse it."""
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
        FORMAT["imagefolder"].read(tmp_path, FASHION_MNIST)


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "F"])
def test_pictures_that_would_lose_something_are_refused(mode, tmp_path):
    (tmp_path / "00000").mkdir()
    if mode == "F":
        (tmp_path / "00000" / "a.png").write_bytes(b"junk")
    else:
        Image.new(mode, (28, 28)).save(tmp_path / "00000" / "a.png")
    with pytest.raises(
        UserError,
        match="not readable as a picture"
        if mode == "F"
        else f"a picture of mode {mode}, expected one of L, RGB",
    ):
        FORMAT["imagefolder"].read(tmp_path, FASHION_MNIST)


def test_links_are_not_followed(clothes, tmp_path):
    FORMAT["native"].write({"fashion-mnist": (FASHION_MNIST, clothes)}, tmp_path)
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "images.safetensors").symlink_to(tmp_path / "images.safetensors")
    with pytest.raises(UserError, match="is a link, which is not followed"):
        FORMAT["native"].read(tmp_path / "team", FASHION_MNIST)
    (tmp_path / "pictures").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "pictures" / "private.png")
    (tmp_path / "team" / "00000").symlink_to(tmp_path / "pictures")
    assert FORMAT["imagefolder"].find(tmp_path / "team", FASHION_MNIST) == []


def test_pictures_of_unequal_classes_all_have_names_of_their_own(clothes, tmp_path):
    uneven = DistilledSet(
        clothes.images[:-1],
        np.sort(clothes.labels[1:] * (clothes.labels[1:] != 5)),
        FASHION_MNIST.class_names,
        clothes.generated[1:],
    )
    back = there_and_back("imagefolder", {"fashion-mnist": (FASHION_MNIST, uneven)}, tmp_path)[
        "fashion-mnist"
    ]
    assert np.array_equal(back.labels, uneven.labels)
    assert np.array_equal(back.images, uneven.images)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"dataset": "cifar100"}, "the set is of cifar100, not of cifar10"),
        ({}, "images_float need a normalisation with mean and std of 3 channel"),
        (
            {"normalisation": {"mean": [0, 0, 0], "std": [0, 0, 0]}},
            "images_float need a normalisation",
        ),
        ([], "expected an object"),
    ],
)
def test_manifests_that_are_wrong(manifest, message, tmp_path):
    FORMAT["native"].write({"cifar10": (CIFAR10, optimised(CIFAR10))}, tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        FORMAT["native"].read(tmp_path, CIFAR10)


def test_missing_files_are_named(tmp_path):
    for name, expected in {
        "eccv2024": "no cifar10.pt",
        "mtt": "no images_best.pt and labels_best.pt",
        "native": "no images.safetensors",
    }.items():
        with pytest.raises(UserError, match=expected):
            FORMAT[name].read(tmp_path, CIFAR10)
    with pytest.raises(UserError, match="no folders of PNG or JPEG"):
        FORMAT["imagefolder"].read(tmp_path, CIFAR10)
