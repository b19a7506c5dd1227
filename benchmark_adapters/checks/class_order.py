"""Check the order of the classes, with a classifier that was trained on real images.

A set whose labels follow another order than the dataset's scores about chance, and nothing in its
file shows it. Such an order of CIFAR-100, by superclass, is spread by public repositories.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from benchmark_adapters.files import replacing
from benchmark_adapters.scoring import features, training
from benchmark_adapters.scoring.images import images_of
from benchmark_adapters.types import Dataset, DistilledSet
from leaderboard.records.record import Finding

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

CODE = "class-order"
MAX_IMAGES_PER_CLASS = 100
MAX_STEPS = 500  # of the classifier's training
MAX_NAMED = 10  # classes in a message
# CIFAR-100's class names, a line for each superclass.
SUPERCLASSES = """
    beaver dolphin otter seal whale
    aquarium_fish flatfish ray shark trout
    orchid poppy rose sunflower tulip
    bottle bowl can cup plate
    apple mushroom orange pear sweet_pepper
    clock keyboard lamp telephone television
    bed chair couch table wardrobe
    bee beetle butterfly caterpillar cockroach
    bear leopard lion tiger wolf
    bridge castle house road skyscraper
    cloud forest mountain plain sea
    camel cattle chimpanzee elephant kangaroo
    fox porcupine possum raccoon skunk
    crab lobster snail spider worm
    baby boy girl man woman
    crocodile dinosaur lizard snake turtle
    hamster mouse rabbit shrew squirrel
    maple_tree oak_tree palm_tree pine_tree willow_tree
    bicycle bus motorcycle pickup_truck train
    lawn_mower rocket streetcar tank tractor
"""


def classifier(dataset: Dataset, real: tuple[Array, Array], device: str = "cpu") -> nn.Module:
    """Return a network that was trained on real images.

    ``real`` are images uint8 [N, C, H, W] and labels int64 [N]. The network is stored in the user's
    cache for the next set: training takes seconds to minutes.
    """
    steps = min(100 + 4 * dataset.num_classes, MAX_STEPS)
    path = _cache_folder() / f"{dataset.name}-{_cache_key(dataset, real, steps)}.safetensors"
    # The file may be missing, damaged, or of another architecture.
    with contextlib.suppress(OSError, SafetensorError, RuntimeError):
        net = features.untrained_network(dataset)
        net.load_state_dict(safetensors.torch.load_file(path))
        return net.to(device)
    net = features.train_network(*real, dataset, device=device, steps=steps)
    # A folder that can't be written to, or a full disk, only costs time.
    with contextlib.suppress(OSError, SafetensorError):
        _store(net, path)
    return net


def probe(distilled: DistilledSet, dataset: Dataset, net: nn.Module) -> Finding:
    """Return what a `classifier` finds out about the order of the classes.

    It is an error if the classifier is right about as rarely as chance, though another order
    explains its predictions. It is a warning if another order explains more of them and some
    classes are right.
    """
    labels, predicted = _predict(distilled, dataset, net)
    chance = 1 / dataset.num_classes
    agreement = float((predicted == labels).mean())
    summary = (
        f"class order: a classifier of real images finds the class of {agreement:.0%} "
        f"of the images, chance is {chance:.0%}"
    )
    for name, order in _known_orders(dataset):
        explained = float((predicted == order[labels]).mean())
        if explained > max(1.5 * agreement, 3 * chance):
            return Finding(
                "error" if agreement < 2 * chance else "warning",
                CODE,
                f"{summary}; in {name} it finds {explained:.0%}: {_describe(order, dataset)}",
            )
    if np.bincount(labels).min() < 2:
        return Finding(
            "note", CODE, f"{summary}; with one image per class no other order can be tested"
        )
    order, explained = _best_order(labels, predicted, dataset.num_classes)
    if agreement < 2 * chance and explained > 3 * max(agreement, chance):
        return Finding(
            "error",
            CODE,
            f"{summary}; in another order it finds {explained:.0%}: {_describe(order, dataset)}",
        )
    if explained > agreement + 0.1:
        return Finding(
            "warning",
            CODE,
            f"{summary}; with some classes exchanged it finds {explained:.0%}: "
            f"{_describe(order, dataset)}",
        )
    if agreement < 2 * chance:
        return Finding("warning", CODE, f"{summary}, and no other order explains what it sees")
    return Finding("note", CODE, summary)


def _predict(distilled: DistilledSet, dataset: Dataset, net: nn.Module) -> tuple[Array, Array]:
    """Return labels and predictions of the first images of each class."""
    rows = np.concatenate(
        [
            np.flatnonzero(distilled.labels == label)[:MAX_IMAGES_PER_CLASS]
            for label in range(dataset.num_classes)
        ]
    )
    images = images_of(distilled, (dataset.mean, dataset.std))[torch.from_numpy(rows)]
    return distilled.labels[rows], training.predict(net, images).numpy()


def _known_orders(dataset: Dataset) -> list[tuple[str, Array]]:
    """Return wrong orders that occur: a name, and for each position the label that is there."""
    label_of = {name: label for label, name in enumerate(dataset.class_names)}
    orders = [
        ("alphabetical order", sorted(dataset.class_names)),
        ("reversed order", list(reversed(dataset.class_names))),
    ]
    if dataset.name == "cifar100":
        orders.insert(0, ("the superclass order of CIFAR-100", SUPERCLASSES.split()))
    return [
        (name, np.array([label_of[class_name] for class_name in order]))
        for name, order in orders
        if set(order) == set(label_of)
    ]


def _best_order(labels: Array, predicted: Array, num_classes: int) -> tuple[Array, float]:
    """Return the order that explains the predictions best, and the share that it explains.

    The share is measured by halves: an order is fitted to one half of the images of each class and
    tested on the other, since a fitted order always explains a few images. The halves are the first
    and the second images, since an augmented copy follows its image.
    """
    per_class = len(labels) // num_classes
    in_first_half = np.arange(len(labels)) % per_class < per_class // 2
    explained = []
    for fitted in (in_first_half, ~in_first_half):
        order = _fit_order(labels[fitted], predicted[fitted], num_classes)
        explained.append(float((predicted[~fitted] == order[labels[~fitted]]).mean()))
    return _fit_order(labels, predicted, num_classes), float(np.mean(explained))


def _fit_order(labels: Array, predicted: Array, num_classes: int) -> Array:
    """Return the assignment of classes to positions that explains most predictions."""
    from scipy.optimize import linear_sum_assignment

    counts = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return linear_sum_assignment(counts.reshape(num_classes, num_classes), maximize=True)[1]


def _describe(order: Array, dataset: Dataset) -> str:
    names = [dataset.class_names[label] for label in order]
    shown = names if len(names) <= MAX_NAMED else [*names[:5], "..."]
    return (
        f"the images at labels 0, 1, ... are likely {', '.join(shown)}; "
        f"the dataset's order is {', '.join(dataset.class_names[:5])}, ..."
    )


def _cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("ddbench")) / "class-order"


def _cache_key(dataset: Dataset, real: tuple[Array, Array], steps: int) -> str:
    """Hash everything that the training depends on."""
    settings = (
        features.NAME,
        steps,
        dataset.mean,
        dataset.std,
        dataset.num_classes,
        torch.__version__,
    )
    digest = hashlib.sha256(repr(settings).encode())
    for array in real:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _store(net: nn.Module, path: Path) -> None:
    """Write the network; the file appears as a whole."""
    weights = {name: weight.contiguous() for name, weight in net.state_dict().items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(weights, temporary)
