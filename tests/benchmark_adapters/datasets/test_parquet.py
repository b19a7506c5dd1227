"""Published datasets as Parquet files, in the layouts of the Hugging Face hub."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmark_adapters import datasets
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.datasets.tiny_imagenet import SYNONYMS
from benchmark_adapters.types import UserError

hub = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(file, dataset, columns, names, images, labels):
    """Write a Parquet file as the package ``datasets`` does; the last column has the labels."""
    image, *others, label = columns
    pixels = [one[0] if dataset.channels == 1 else one.transpose(1, 2, 0) for one in images]
    content = {image: [Image.fromarray(one) for one in pixels], label: labels}
    features = {image: hub.Image(), label: hub.ClassLabel(names=list(names))}
    for other in others:
        content[other] = [0] * len(labels)
        features[other] = hub.ClassLabel(names=["some"])
    table = hub.Dataset.from_dict(content, features=hub.Features(features))
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(file)


@pytest.fixture
def made():
    def make(dataset, count):
        shape = (count, dataset.channels, dataset.image_size, dataset.image_size)
        rng = np.random.default_rng(0)
        labels = rng.permutation(dataset.num_classes)[:count]
        return rng.integers(0, 256, shape, dtype=np.uint8), labels

    return make


@pytest.mark.parametrize(
    ("dataset", "folder", "test", "columns", "names"),
    [
        (CIFAR10, "cifar10/plain_text", "test", ("img", "label"), None),
        (CIFAR100, "cifar100/cifar100", "test", ("img", "coarse_label", "fine_label"), None),
        (FASHION_MNIST, "fashion_mnist/fashion_mnist", "test", ("image", "label"), None),
        (TINY_IMAGENET, "tiny-imagenet/data", "valid", ("image", "label"), tuple(SYNONYMS)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_files_of_the_hub_are_read(tmp_path, made, dataset, folder, test, columns, names):
    images, labels = made(dataset, 6)
    names = names or dataset.class_names
    for part in range(2):
        rows = slice(3 * part, 3 * part + 3)
        file = tmp_path / folder / f"train-0000{part}-of-00002.parquet"
        write(file, dataset, columns, names, images[rows], labels[rows])
    write(tmp_path / folder / f"{test}-00000.parquet", dataset, columns, names, images, labels)
    for data in (tmp_path, tmp_path / folder.split("/")[0]):
        for split in ("train", "test"):
            back = datasets.load(dataset, split, data)
            assert np.array_equal(back[0], images)
            assert back[1].tolist() == labels.tolist()
    (tmp_path / folder / f"{test}-00000.parquet").unlink()
    with pytest.raises(UserError, match=f"{dataset.name} is incomplete; its test split lacks"):
        datasets.load(dataset, "test", tmp_path)


@pytest.mark.parametrize(
    ("dataset", "folder", "spelling"),
    [
        (CIFAR100, "cifar100", {"crab": "cra"}),
        (FASHION_MNIST, "fashion_mnist", {"T-shirt/top": "T - shirt / top"}),
    ],
    ids=["cifar100", "fashion-mnist"],
)
def test_class_names_spelt_as_on_the_hub_are_accepted(tmp_path, made, dataset, folder, spelling):
    images, labels = made(dataset, 4)
    assert set(spelling) < set(dataset.class_names)
    names = [spelling.get(name, name) for name in dataset.class_names]
    for split in ("train", "test"):
        write(
            tmp_path / folder / f"{split}-00000-of-00001.parquet",
            dataset,
            ("image", "label"),
            names,
            images,
            labels,
        )
    assert datasets.load(dataset, "test", tmp_path)[1].tolist() == labels.tolist()


def encoded(image):
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


def test_a_column_of_plain_bytes_is_read(tmp_path, made):
    images, labels = made(CIFAR10, 3)
    for split in ("train", "test"):
        table = {"image": [encoded(image) for image in images], "label": labels}
        write_plain(tmp_path / "cifar10" / f"{split}.parquet", table)
    assert np.array_equal(datasets.load(CIFAR10, "train", tmp_path)[0], images)


def write_plain(file, table):
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(table), file)


@pytest.mark.parametrize("lacks", ["image", "bytes", "label"])
def test_a_row_that_lacks_something_is_named(tmp_path, made, lacks):
    images, labels = made(CIFAR10, 3)
    rows = [{"bytes": encoded(image), "path": None} for image in images]
    labels = labels.tolist()
    if lacks == "label":
        labels[1] = None
    else:
        rows[1] = None if lacks == "image" else {"bytes": None, "path": "1.png"}
    for split in ("train", "test"):
        write_plain(tmp_path / "cifar10" / f"{split}.parquet", {"image": rows, "label": labels})
    with pytest.raises(UserError, match=r"train\.parquet, row 1: no encoded image, or no label"):
        datasets.load(CIFAR10, "train", tmp_path)


def test_a_small_file_with_one_picture_many_times_is_refused(tmp_path, made):
    table = {"image": [bytes(2**20)] * 200, "label": [0] * 200}
    for split in ("train", "test"):
        write_plain(tmp_path / "cifar10" / f"{split}.parquet", table)
    assert (tmp_path / "cifar10" / "train.parquet").stat().st_size < 2**22
    with pytest.raises(UserError, match=r"train\.parquet: its pictures are far larger than"):
        datasets.load(CIFAR10, "train", tmp_path)


def test_a_folder_of_other_splits_is_not_taken_for_the_dataset(tmp_path):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "training.parquet").touch()
    with pytest.raises(UserError, match="was not found"):
        datasets.load(CIFAR10, "train", tmp_path)


def test_other_classes_and_damaged_files_are_refused(tmp_path, made):
    images, labels = made(CIFAR10, 3)
    files = [tmp_path / "cifar10" / f"{split}.parquet" for split in ("train", "test")]
    for file in files:
        names = sorted(CIFAR10.class_names, reverse=True)
        write(file, CIFAR10, ("img", "label"), names, images, labels)
    with pytest.raises(
        UserError, match=r"train\.parquet: the classes or their order are not those"
    ):
        datasets.load(CIFAR10, "train", tmp_path)
    write(files[0], CIFAR10, ("picture", "label"), CIFAR10.class_names, images, labels)
    with pytest.raises(UserError, match="has the columns picture, label; expected img or image"):
        datasets.load(CIFAR10, "train", tmp_path)
    files[0].write_bytes(b"junk")
    with pytest.raises(UserError, match=r"train\.parquet can't be read"):
        datasets.load(CIFAR10, "train", tmp_path)
