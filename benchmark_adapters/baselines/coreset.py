"""Coreset selection: methods that select real training images."""

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
    """Yield real training images drawn at random without replacement."""
    import numpy as np

    images, labels = task.training_images()
    count = _images_per_class(task, labels)
    task.ready(images="real")
    shuffled = np.random.default_rng(task.seed).permutation(len(labels))
    indices = [
        shuffled[labels[shuffled] == label][:count] for label in range(task.dataset.num_classes)
    ]
    yield _batch(images, labels, indices)


def herding(task: Task, budget: Budget) -> Iterator[Batch]:
    """Yield images that preserve the mean of their class in feature space (Welling, ICML 2009)."""
    yield _select_by_features(task, herd)


def kmeans(task: Task, budget: Budget) -> Iterator[Batch]:
    """Yield the images nearest to the k-means centres in feature space.

    Each class is divided into as many clusters as images are requested per class.
    """
    yield _select_by_features(task, nearest_to_centres)


def herd(features: Array, count: int, seed: int = 0) -> Array:
    """Return indices [count] of rows whose running mean stays closest to the mean of all rows.

    ``features`` is float [n, d]. The selection is greedy and does not depend on the seed.
    """
    import numpy as np

    products = features @ features.T
    squares, to_mean = products.diagonal(), products.mean(1)
    selected: list[int] = []
    # Product of each row with (number of selected rows * mean - sum of the selected rows).
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
    """Return indices [count] of the row nearest to the centre of each k-means cluster.

    ``features`` is float [n, d]. The rows of large clusters come first.
    """
    import numpy as np
    from sklearn.cluster import KMeans

    clustering = KMeans(count, n_init=1, random_state=seed % 2**32).fit(features)
    centres = clustering.cluster_centers_[clustering.labels_]
    distances = ((features - centres) ** 2).sum(1)
    members = [np.flatnonzero(clustering.labels_ == cluster) for cluster in range(count)]
    members.sort(key=len, reverse=True)
    nearest = [rows[distances[rows].argmin()] for rows in members if len(rows)]
    # Clusters may be empty if images repeat.
    spare = np.setdiff1d(np.arange(len(features)), nearest)
    return np.concatenate([nearest, spare])[:count].astype(int)


def _select_by_features(task: Task, select: Select) -> Batch:
    """Return the images that ``select`` chooses from each class.

    The features come from a student trained on all real training images.
    """
    import numpy as np

    from benchmark_adapters.scoring import features

    images, labels = task.training_images()
    count = _images_per_class(task, labels)
    net = features.train_network(images, labels, task.dataset, task.seed, task.device)
    task.ready(images="real", features=features.NAME)
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
    """Return the number of images to select per class; for ``--ipc max``, as many as there are.

    Raises:
        UserError: the smallest class has fewer images than requested.
    """
    import numpy as np

    available = int(np.bincount(labels, minlength=task.dataset.num_classes).min())
    count = available if task.ipc is None else task.ipc
    if count > available:
        raise UserError(
            f"{count} {plural(count, 'image')} per class requested, but {task.dataset.name} has "
            f"only {available} training {plural(available, 'image')} per class; "
            "request fewer with --ipc"
        )
    return count
