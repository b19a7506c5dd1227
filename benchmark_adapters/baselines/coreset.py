"""Coreset selection: methods that choose real training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmark_adapters.budget import Budget
from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Task
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array, Batch

# (features of a class [n, d], count, seed) -> indices [count]
Select = Callable[["Array", int, int], "Array"]


def random_real(task: Task, budget: Budget) -> Iterator[Batch]:
    """Yield real training images that are drawn without replacement."""
    import numpy as np

    images, labels = task.training_images()
    count = _images_per_class(task, labels)
    task.ready()
    shuffled = np.random.default_rng(task.seed).permutation(len(labels))
    indices = [
        shuffled[labels[shuffled] == label][:count] for label in range(task.dataset.num_classes)
    ]
    yield _batch(images, labels, indices)


def herding(task: Task, budget: Budget) -> Iterator[Batch]:
    """Yield the images that keep the mean of their class in feature space (Welling, ICML 2009)."""
    yield _select_by_features(task, herd)


def kmeans(task: Task, budget: Budget) -> Iterator[Batch]:
    """Yield the images nearest to the centres of k-means in feature space.

    There are as many clusters in a class as images are wanted of it.
    """
    yield _select_by_features(task, nearest_to_centres)


def herd(features: Array, count: int, seed: int = 0) -> Array:
    """Return indices [count] of rows whose running mean stays nearest to the mean of all rows.

    ``features`` are float [n, d]. The choice is greedy and doesn't depend on the seed.
    """
    import numpy as np

    products = features @ features.T
    squares, to_mean = products.diagonal(), products.mean(1)
    selected: list[int] = []
    # Products of each row with (number of selected * mean - sum of the selected).
    missing = np.zeros(len(features), features.dtype)
    is_free = np.ones(len(features), bool)
    for _ in range(count):
        missing += to_mean
        best = int(np.where(is_free, squares - 2 * missing, np.inf).argmin())
        selected.append(best)
        is_free[best] = False
        missing -= products[best]
    return np.array(selected)


def nearest_to_centres(features: Array, count: int, seed: int) -> Array:
    """Return indices [count]: of each k-means cluster the row nearest to its centre.

    ``features`` are float [n, d]. Large clusters come first.
    """
    import numpy as np
    from sklearn.cluster import KMeans

    clustering = KMeans(count, n_init=1, random_state=seed % 2**32).fit(features)
    centres = clustering.cluster_centers_[clustering.labels_]
    distances = ((features - centres) ** 2).sum(1)
    members = [np.flatnonzero(clustering.labels_ == cluster) for cluster in range(count)]
    members.sort(key=len, reverse=True)
    nearest = [rows[distances[rows].argmin()] for rows in members if len(rows)]
    # Where images repeat, clusters may be empty.
    spare = np.setdiff1d(np.arange(len(features)), nearest)
    return np.concatenate([nearest, spare])[:count].astype(int)


def _select_by_features(task: Task, select: Select) -> Batch:
    """Return the images that ``select`` chooses of each class.

    The features are those of a student that was trained on all real training images.
    """
    import numpy as np

    from benchmark_adapters.scoring import features

    images, labels = task.training_images()
    count = _images_per_class(task, labels)
    net = features.train_network(images, labels, task.dataset, task.seed, task.device)
    task.ready(features=features.NAME)
    indices = []
    for label in range(task.dataset.num_classes):
        members = np.flatnonzero(labels == label)
        class_features = features.extract(net, images[members], task.dataset)
        indices.append(members[select(class_features, count, task.seed)])
    return _batch(images, labels, indices)


def _batch(images: Array, labels: Array, indices: list[Array]) -> Batch:
    import numpy as np

    rows = np.concatenate(indices)
    is_generated = np.zeros(len(rows), bool)
    return images[rows], labels[rows], is_generated


def _images_per_class(task: Task, labels: Array) -> int:
    """Return how many images of each class are wanted; all of them for ``--ipc max``."""
    import numpy as np

    available = int(np.bincount(labels, minlength=task.dataset.num_classes).min())
    wanted = available if task.ipc is None else task.ipc
    if wanted > available:
        raise UserError(
            f"{wanted} {plural(wanted, 'image')} per class wanted, but only {available} training "
            f"{plural(available, 'image')} per class of {task.dataset.name} "
            f"{plural(available, 'is', 'are')} available; ask for fewer with --ipc"
        )
    return wanted
