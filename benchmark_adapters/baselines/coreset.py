"""Methods that choose real training images: the floor of every track."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Task, UserError

if TYPE_CHECKING:
    from benchmark_adapters.types import Array, Round

Choose = Callable[
    ["Array", int, int], "Array"
]  # (features of a class [n, d], count, seed) -> indices [count]


def random_real(task: Task, budget: Budget) -> Iterator[Round]:
    """Real training images, drawn without replacement."""
    import numpy as np

    images, labels = task.training_images()
    count = _count(task, labels)
    task.ready()
    shuffled = np.random.default_rng(task.seed).permutation(len(labels))
    yield _round(
        images,
        labels,
        [shuffled[labels[shuffled] == label][:count] for label in range(task.dataset.num_classes)],
    )


def herding(task: Task, budget: Budget) -> Iterator[Round]:
    """Those whose mean in feature space stays nearest to that of their class, chosen one by one (Welling, ICML 2009)."""
    yield _by_features(task, herd)


def kmeans(task: Task, budget: Budget) -> Iterator[Round]:
    """Those nearest to the centres of k-means in feature space, with as many clusters as images are wanted."""
    yield _by_features(task, centres)


def herd(features: Array, count: int, seed: int = 0) -> Array:
    """Indices [count] of rows of ``features`` [n, d] whose running mean stays nearest to the mean of all; the seed has no part in it."""
    import numpy as np

    products = features @ features.T
    squares, to_mean = products.diagonal(), products.mean(1)
    chosen: list[int] = []
    missing = np.zeros(
        len(features), features.dtype
    )  # products of each row with (number of chosen * mean - sum of the chosen)
    free = np.ones(len(features), bool)
    for _ in range(count):
        missing += to_mean
        best = int(np.where(free, squares - 2 * missing, np.inf).argmin())
        chosen.append(best)
        free[best] = False
        missing -= products[best]
    return np.array(chosen)


def centres(features: Array, count: int, seed: int) -> Array:
    """Indices [count]: of each of ``count`` clusters of the rows of ``features`` [n, d] the row nearest to its centre, large clusters first."""
    import numpy as np
    from sklearn.cluster import KMeans

    found = KMeans(count, n_init=1, random_state=seed % 2**32).fit(features)
    distances = ((features - found.cluster_centers_[found.labels_]) ** 2).sum(1)
    members = [np.flatnonzero(found.labels_ == cluster) for cluster in range(count)]
    members.sort(key=len, reverse=True)
    nearest = [rows[distances[rows].argmin()] for rows in members if len(rows)]
    spare = np.setdiff1d(
        np.arange(len(features)), nearest
    )  # where images repeat, clusters may be empty
    return np.concatenate([nearest, spare])[:count].astype(int)


def _by_features(task: Task, choose: Choose) -> Round:
    """The images that ``choose`` takes of each class, by features of a student that was trained on all of them."""
    import numpy as np

    from benchmark_adapters.scoring import features

    images, labels = task.training_images()
    count = _count(task, labels)
    net = features.learn(images, labels, task.dataset, task.seed, task.device)
    task.ready(features=features.NAME)
    rows = []
    for label in range(task.dataset.num_classes):
        members = np.flatnonzero(labels == label)
        rows.append(
            members[choose(features.of(net, images[members], task.dataset), count, task.seed)]
        )
    return _round(images, labels, rows)


def _round(images: Array, labels: Array, rows: list[Array]) -> Round:
    import numpy as np

    chosen = np.concatenate(rows)
    return images[chosen], labels[chosen], np.zeros(len(chosen), bool)  # none was generated


def _count(task: Task, labels: Array) -> int:
    """Images of each class that are wanted; all of them for ``--ipc max``."""
    import numpy as np

    fewest = int(np.bincount(labels, minlength=task.dataset.num_classes).min())
    count = fewest if task.ipc is None else task.ipc
    if count > fewest:
        raise UserError(
            f"{count} images per class wanted, but the training images of {task.dataset.name} at hand are {fewest} per class; ask for fewer with --ipc"
        )
    return count
