"""Check the order of the classes with a classifier trained on real images.

A set whose labels follow a class order other than the dataset's scores at chance level, although
its file looks correct. Public repositories contain one such order: CIFAR-100's classes by
superclass.
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

from benchmark_adapters import reporting
from benchmark_adapters.files import replacing
from benchmark_adapters.scoring import features, training
from benchmark_adapters.scoring.images import images_of
from benchmark_adapters.types import Dataset, DistilledSet
from leaderboard.records.record import Finding

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

CODE = "class-order"
MAX_IMAGES_PER_CLASS = 100
# Steps of the classifier's training.
MAX_STEPS = 500
# Classes listed in a message.
MAX_NAMED = 10
# CIFAR-100's class names, one superclass per line.
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
    """Return a classifier trained on real images.

    ``real`` is a pair of images uint8 [N, C, H, W] and labels int64 [N]. Because training takes
    seconds to minutes, the network is saved in the user's cache and reused.
    """
    steps = min(100 + 4 * dataset.num_classes, MAX_STEPS)
    path = _cache_folder() / f"{dataset.name}-{_cache_key(dataset, real, steps)}.safetensors"
    # The file may be missing, damaged or from another architecture.
    with contextlib.suppress(OSError, SafetensorError, RuntimeError):
        net = features.untrained_network(dataset)
        net.load_state_dict(safetensors.torch.load_file(path))
        return net.to(device)
    with reporting.bar(desc="training the class-order probe", total=steps, unit=" steps") as bar:
        net = features.train_network(
            *real,
            dataset,
            device=device,
            steps=steps,
            report=lambda done, _: bar.update(done - bar.n),
        )
    # The cache only saves time, so a read-only folder or a full disk is not an error.
    with contextlib.suppress(OSError, SafetensorError):
        _store(net, path)
    return net


def probe(distilled: DistilledSet, dataset: Dataset, net: nn.Module) -> Finding:
    """Return a finding about the order of the classes, based on the predictions of a `classifier`.

    It is an error if the classifier agrees with the labels about as rarely as chance, and another
    order explains its predictions. It is a warning if another order explains more predictions
    although some classes are right.
    """
    labels, predicted = _predict(distilled, dataset, net)
    chance = 1 / dataset.num_classes
    agreement = float((predicted == labels).mean())
    summary = (
        f"class order: a classifier trained on real images agrees with {agreement:.0%} "
        f"of the labels (chance: {chance:.0%})"
    )
    for name, order in _known_orders(dataset):
        explained = float((predicted == order[labels]).mean())
        if explained > max(1.5 * agreement, 3 * chance):
            return Finding(
                "error" if agreement < 2 * chance else "warning",
                CODE,
                f"{summary}, but with {explained:.0%} in {name}: {_describe(order, dataset)}",
            )
    if np.bincount(labels).min() < 2:
        return Finding(
            "note", CODE, f"{summary}; other orders can't be tested with one image per class"
        )
    order, explained = _best_order(labels, predicted, dataset.num_classes)
    if agreement < 2 * chance and explained > 3 * max(agreement, chance):
        return Finding(
            "error",
            CODE,
            f"{summary}, but with {explained:.0%} in another order: {_describe(order, dataset)}",
        )
    if explained > agreement + 0.1:
        return Finding(
            "warning",
            CODE,
            f"{summary}, but with {explained:.0%} if some classes are swapped: "
            f"{_describe(order, dataset)}",
        )
    if agreement < 2 * chance:
        return Finding("warning", CODE, f"{summary}, and no other order explains its predictions")
    return Finding("note", CODE, summary)


def _predict(distilled: DistilledSet, dataset: Dataset, net: nn.Module) -> tuple[Array, Array]:
    """Return the labels and the predictions for the first images of each class."""
    rows = np.concatenate(
        [
            np.flatnonzero(distilled.labels == label)[:MAX_IMAGES_PER_CLASS]
            for label in range(dataset.num_classes)
        ]
    )
    images = images_of(distilled, (dataset.mean, dataset.std))[torch.from_numpy(rows)]
    return distilled.labels[rows], training.predict(net, images).numpy()


def _known_orders(dataset: Dataset) -> list[tuple[str, Array]]:
    """Return the names of wrong orders that occur in practice, and the label at each position."""
    label_of = {name: label for label, name in enumerate(dataset.class_names)}
    orders = [
        ("alphabetical order", sorted(dataset.class_names)),
        ("reverse order", list(reversed(dataset.class_names))),
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

    A fitted order always explains a few of the images that it was fitted to. The share is therefore
    cross-validated: an order is fitted to one half of the images of each class and tested on the
    other half. Augmented copies directly follow their image, so the halves are the first images
    and the last images rather than every second image.
    """
    per_class = len(labels) // num_classes
    in_first_half = np.arange(len(labels)) % per_class < per_class // 2
    explained = []
    for fitted in (in_first_half, ~in_first_half):
        order = _fit_order(labels[fitted], predicted[fitted], num_classes)
        explained.append(float((predicted[~fitted] == order[labels[~fitted]]).mean()))
    return _fit_order(labels, predicted, num_classes), float(np.mean(explained))


def _fit_order(labels: Array, predicted: Array, num_classes: int) -> Array:
    """Return the assignment of classes to positions that explains the most predictions."""
    from scipy.optimize import linear_sum_assignment

    counts = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return linear_sum_assignment(counts.reshape(num_classes, num_classes), maximize=True)[1]


def _describe(order: Array, dataset: Dataset) -> str:
    names = [dataset.class_names[label] for label in order]
    shown = names if len(names) <= MAX_NAMED else [*names[:5], "..."]
    return (
        f"the images with labels 0, 1, ... are probably {', '.join(shown)}; "
        f"the dataset's order is {', '.join(dataset.class_names[:5])}, ..."
    )


def _cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("ddbench")) / "class-order"


def _cache_key(dataset: Dataset, real: tuple[Array, Array], steps: int) -> str:
    """Return a hash of everything that affects the training."""
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
    """Write the network atomically."""
    weights = {name: weight.contiguous() for name, weight in net.state_dict().items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(weights, temporary)
