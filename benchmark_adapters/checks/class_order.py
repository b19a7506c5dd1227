"""Are the classes in the right order? A classifier of real images is asked.

A set whose labels follow another order than the dataset's scores about chance, and nothing in its file shows it. Such a
list of CIFAR-100's names, superclass by superclass, travels through public repositories.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from benchmark_adapters.checks.content import Finding
from benchmark_adapters.scoring import features, training
from benchmark_adapters.types import Dataset, DistilledSet

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

MOST_SEEN = 100  # images of a class
MOST_STEPS = 500  # of the classifier's training
SUPERCLASSES = """beaver dolphin otter seal whale aquarium_fish flatfish ray shark trout orchid poppy rose sunflower tulip bottle bowl can cup plate
    apple mushroom orange pear sweet_pepper clock keyboard lamp telephone television bed chair couch table wardrobe bee beetle butterfly caterpillar cockroach
    bear leopard lion tiger wolf bridge castle house road skyscraper cloud forest mountain plain sea camel cattle chimpanzee elephant kangaroo
    fox porcupine possum raccoon skunk crab lobster snail spider worm baby boy girl man woman crocodile dinosaur lizard snake turtle
    hamster mouse rabbit shrew squirrel maple_tree oak_tree palm_tree pine_tree willow_tree bicycle bus motorcycle pickup_truck train
    lawn_mower rocket streetcar tank tractor"""


def classifier(dataset: Dataset, real: tuple[Array, Array], device: str = "cpu") -> nn.Module:
    """A network trained on ``real``, images uint8 [N, C, H, W] and labels int64 [N].

    It is kept in the user's cache, since who checks one set mostly checks more: training takes seconds to minutes, reading it none.
    """
    steps = min(100 + 4 * dataset.num_classes, MOST_STEPS)
    kept = _cache() / f"{dataset.name}-{_key(dataset, real, steps)}.safetensors"
    with contextlib.suppress(
        OSError, SafetensorError, RuntimeError
    ):  # not there, damaged, or of another architecture
        net = features.untrained(dataset)
        net.load_state_dict(safetensors.torch.load_file(kept))
        return net.to(device)
    net = features.learn(*real, dataset, device=device, steps=steps)
    with contextlib.suppress(
        OSError, SafetensorError
    ):  # a home that can't be written to, or a full disk, costs time only
        _keep(net, kept)
    return net


def _cache() -> Path:
    return Path(platformdirs.user_cache_dir("ddbench")) / "class-order"


def _key(dataset: Dataset, real: tuple[Array, Array], steps: int) -> str:
    """Of all that the training depends on."""
    digest = hashlib.sha256(
        repr(
            (
                features.NAME,
                steps,
                dataset.mean,
                dataset.std,
                dataset.num_classes,
                torch.__version__,
            )
        ).encode()
    )
    for array in real:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _keep(net: nn.Module, path: Path) -> None:
    """Appears as a whole, whoever reads it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        safetensors.torch.save_file(
            {name: weight.contiguous() for name, weight in net.state_dict().items()}, beside
        )
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def probe(distilled: DistilledSet, dataset: Dataset, net: nn.Module) -> Finding:
    """What a `classifier` says of the order of the classes.

    An error where it finds the classes about as rarely as chance would, though another order of them explains what it sees; a warning
    where another order explains more, and some classes are right.
    """
    labels, predicted = _predictions(distilled, dataset, net)
    chance = 1 / dataset.num_classes
    agreement = float((predicted == labels).mean())
    said = f"class order: a classifier of real images finds the class of {agreement:.0%} of the images, chance is {chance:.0%}"
    for name, order in _known_orders(dataset):
        explained = float((predicted == order[labels]).mean())
        if explained > max(1.5 * agreement, 3 * chance):
            return Finding(
                "error" if agreement < 2 * chance else "warning",
                f"{said}; in {name} it finds {explained:.0%}: {_likely(order, dataset)}",
            )
    if np.bincount(labels).min() < 2:
        return Finding("note", f"{said}; with one image per class no other order can be tested")
    order, explained = _best_order(labels, predicted, dataset.num_classes)
    if agreement < 2 * chance and explained > 3 * max(agreement, chance):
        return Finding(
            "error", f"{said}; in another order it finds {explained:.0%}: {_likely(order, dataset)}"
        )
    if explained > agreement + 0.1:
        return Finding(
            "warning",
            f"{said}; with some classes exchanged it finds {explained:.0%}: {_likely(order, dataset)}",
        )
    if agreement < 2 * chance:
        return Finding("warning", f"{said}, and no other order explains what it sees")
    return Finding("note", said)


def _predictions(distilled: DistilledSet, dataset: Dataset, net: nn.Module) -> tuple[Array, Array]:
    """Labels of at most `MOST_SEEN` images of each class, and what the classifier takes them for."""
    rows = np.concatenate(
        [
            np.flatnonzero(distilled.labels == label)[:MOST_SEEN]
            for label in range(dataset.num_classes)
        ]
    )
    seen = training.images_of(distilled, (dataset.mean, dataset.std))[torch.from_numpy(rows)]
    return distilled.labels[rows], training.predict(net, seen).numpy()


def _known_orders(dataset: Dataset) -> list[tuple[str, Array]]:
    """Wrong orders that occur: name, and of each position the label whose images lie there."""
    label_of = {name: label for label, name in enumerate(dataset.class_names)}
    orders = [
        ("alphabetical order", sorted(dataset.class_names)),
        ("reversed order", list(reversed(dataset.class_names))),
    ]
    if dataset.name == "cifar100":
        orders.insert(0, ("the superclass order of CIFAR-100", SUPERCLASSES.split()))
    return [
        (name, np.array([label_of[one] for one in order]))
        for name, order in orders
        if set(order) == set(label_of)
    ]


def _best_order(labels: Array, predicted: Array, classes: int) -> tuple[Array, float]:
    """The assignment of classes to positions that explains one half of the images best, and the share of the other half that it explains.

    Halves, since an order that is fitted to a few images explains those whatever they show; the first and the second of each class,
    since an augmented copy follows its image.
    """
    from scipy.optimize import linear_sum_assignment

    per_class = len(labels) // classes
    fitted = np.arange(len(labels)) % per_class < per_class // 2
    tested = ~fitted
    explained = []
    for one, other in ((fitted, tested), (tested, fitted)):
        order = linear_sum_assignment(_counts(labels[one], predicted[one], classes), maximize=True)[
            1
        ]
        explained.append(float((predicted[other] == order[labels[other]]).mean()))
    return linear_sum_assignment(_counts(labels, predicted, classes), maximize=True)[1], float(
        np.mean(explained)
    )


def _counts(labels: Array, predicted: Array, classes: int) -> Array:
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _likely(order: Array, dataset: Dataset) -> str:
    names = [dataset.class_names[label] for label in order]
    shown = names if len(names) <= 10 else [*names[:5], "..."]
    return f"the images at labels 0, 1, ... are likely {', '.join(shown)}; the dataset's order is {', '.join(dataset.class_names[:5])}, ..."
