"""Training and adapting at a thousandth of their length, which several test files share; conftest.py has their fixtures.

As a program, for tests that need a process: ``small_training.py train DATA OUTPUT`` or ``small_training.py adapt DATA OUTPUT MODEL``.
"""

import sys
from pathlib import Path

from benchmark_adapters.datasets import FASHION_MNIST
from gdd_plugin.training import adapt, student, train
from gdd_plugin.training.journal import Schedule

SHORT = student.Settings(steps=4, classes=2, generated=4, real=8)
SMALL = train.Settings(
    "fashion-mnist",
    seed=3,
    held_out=200,
    features=Schedule(4, 16, 2e-3),
    autoencoder=Schedule(4, 8, 2e-3),
    teacher=Schedule(4, 16, 1e-3, ema=0.998),
    student=SHORT,
)


def small_adapt(model, **other):
    return adapt.Settings(
        "fashion-mnist",
        str(model),
        str(model),
        held_out=200,
        rank=2,
        features=Schedule(4, 16, 2e-3),
        student=SHORT,
        **other,
    )


if __name__ == "__main__":
    what, data, output, *model = sys.argv[1:]
    if what == "train":
        train.train(Path(output), FASHION_MNIST, Path(data), SMALL, save_every=1)
    else:
        adapt.adapt(Path(output), FASHION_MNIST, Path(data), small_adapt(*model))
