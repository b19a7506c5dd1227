"""Methods that choose real training images: the floor of every track."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Task, UserError

if TYPE_CHECKING:
    from benchmark_adapters.types import Round


def random_real(task: Task, budget: Budget) -> Iterator[Round]:
    """Real training images, drawn without replacement."""
    import numpy as np

    images, labels = task.training_images()
    shuffled = np.random.default_rng(task.seed).permutation(len(labels))
    of_class = [shuffled[labels[shuffled] == label] for label in range(task.dataset.num_classes)]
    fewest = min(map(len, of_class))
    count = fewest if task.ipc is None else task.ipc
    if count > fewest:
        raise UserError(
            f"{count} images per class wanted, but the training images of {task.dataset.name} at hand are {fewest} per class; ask for fewer with --ipc"
        )
    task.ready()
    chosen = np.concatenate([members[:count] for members in of_class])
    yield images[chosen], labels[chosen], np.zeros(len(chosen), bool)  # none was generated
