"""The class-order check on real images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_sets import real_set

from benchmark_adapters import datasets
from benchmark_adapters.checks import class_order
from benchmark_adapters.datasets import CIFAR100, FASHION_MNIST
from benchmark_adapters.scoring import features
from benchmark_adapters.types import DistilledSet


@pytest.fixture(scope="module")
def net():
    """Return a classifier trained on real images."""
    with pytest.MonkeyPatch.context() as patch:
        # A tenth of the usual steps is enough for these tests.
        patch.setattr(class_order, "MAX_STEPS", 50)
        real = datasets.load(FASHION_MNIST, "train", bundled=True)
        return class_order.classifier(FASHION_MNIST, real)


@pytest.fixture(scope="module")
def clothes():
    return real_set(6)


def shuffled(distilled, order):
    """Return a set whose images with label i are of class order[i]."""
    rows = np.concatenate([np.flatnonzero(distilled.labels == label) for label in order])
    return replace(distilled, images=distilled.images[rows])


def test_probe_accepts_the_correct_order(clothes, net):
    finding = class_order.probe(clothes, FASHION_MNIST, net)
    assert finding.level == "note"
    assert "a classifier trained on real images agrees with" in finding.text


def test_probe_finds_a_shuffled_order(clothes, net):
    order = np.array([5, 8, 1, 9, 7, 3, 4, 0, 6, 2])
    finding = class_order.probe(shuffled(clothes, order), FASHION_MNIST, net)
    assert finding.level == "error"
    probable = finding.text.split("are probably ")[1].split(";")[0].split(", ")
    right = [FASHION_MNIST.class_names[label] for label in order]
    # Shirts, coats and pullovers look alike.
    assert sum(a == b for a, b in zip(probable, right, strict=True)) >= 8
    assert "% in another order: " in finding.text


@pytest.mark.parametrize(
    ("order", "name", "level"),
    [
        (range(9, -1, -1), "reverse order", "error"),
        # Four classes are right in alphabetical order.
        (np.argsort(FASHION_MNIST.class_names), "alphabetical order", "warning"),
    ],
)
def test_probe_names_known_orders(clothes, net, order, name, level):
    finding = class_order.probe(shuffled(clothes, list(order)), FASHION_MNIST, net)
    assert finding.level == level
    assert f"% in {name}: " in finding.text


def test_probe_warns_of_two_swapped_classes(net):
    many = real_set(40)
    finding = class_order.probe(shuffled(many, [0, 9, 2, 3, 4, 5, 6, 7, 8, 1]), FASHION_MNIST, net)
    assert finding.level == "warning"
    assert "% if some classes are swapped: " in finding.text


def test_probe_only_warns_of_noise(clothes, net):
    noise = np.random.default_rng(0).integers(0, 256, clothes.images.shape, dtype=np.uint8)
    assert class_order.probe(replace(clothes, images=noise), FASHION_MNIST, net).level == "warning"


def test_probe_tests_no_other_order_with_one_image_per_class(clothes, net):
    one = replace(clothes, images=clothes.images[::6], labels=clothes.labels[::6])
    finding = class_order.probe(shuffled(one, [5, 8, 1, 9, 7, 3, 4, 0, 6, 2]), FASHION_MNIST, net)
    assert (finding.level, "with one image per class" in finding.text) == ("note", True)


def test_classifier_is_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(class_order, "MAX_STEPS", 2)
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    real = (images[:300], labels[:300])
    first = class_order.classifier(FASHION_MNIST, real)
    (cached,) = tmp_path.glob("ddbench/class-order/fashion-mnist-*.safetensors")
    with monkeypatch.context() as patch:
        patch.delattr(features, "train_network")
        second = class_order.classifier(FASHION_MNIST, real)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    cached.write_bytes(b"damaged")
    class_order.classifier(FASHION_MNIST, real)
    class_order.classifier(FASHION_MNIST, (real[0][::-1].copy(), real[1]))
    # The damaged file was replaced, and the other images have their own file.
    assert len(list(cached.parent.iterdir())) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    class_order.classifier(FASHION_MNIST, real)


def test_superclass_order_of_cifar100_is_a_known_wrong_order():
    (name, order), *_ = class_order._known_orders(CIFAR100)
    assert name == "the superclass order of CIFAR-100"
    assert [CIFAR100.class_names[label] for label in order[:5]] == [
        "beaver",
        "dolphin",
        "otter",
        "seal",
        "whale",
    ]
    assert sorted(order) == list(range(100))
    assert (order == np.arange(100)).sum() == 1


def test_probe_names_the_superclass_order(monkeypatch):
    """A stub that is right about four of five images stands in for a classifier of CIFAR-100."""
    order = class_order._known_orders(CIFAR100)[0][1]
    labels = np.arange(100).repeat(10)
    seen = np.where(np.arange(1000) % 5 == 0, (order[labels] + 7) % 100, order[labels])
    monkeypatch.setattr(class_order, "_predict", lambda *_: (labels, seen))
    empty = DistilledSet(np.zeros((0,)), labels, CIFAR100.class_names, np.ones(1000, bool))
    finding = class_order.probe(empty, CIFAR100, torch.nn.Identity())
    assert finding.level == "error"
    assert "but with 80% in the superclass order of CIFAR-100: " in finding.text
    assert "the images with labels 0, 1, ... are probably beaver, dolphin" in finding.text
