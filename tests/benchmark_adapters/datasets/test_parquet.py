"""Published datasets as Parquet files, in the layouts of the Hugging Face hub."""

import numpy as np
import pytest
from PIL import Image

from benchmark_adapters import datasets
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.datasets.tiny_imagenet import SYNONYMS
from benchmark_adapters.types import UserError

hub = pytest.importorskip("datasets")


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
