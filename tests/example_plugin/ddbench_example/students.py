"""Students that take too much."""

import os
from pathlib import Path

import numpy as np

from benchmark_adapters.scoring import students
from ddbench_example.images import fall_asleep

built = []


def build_late(*size):
    """Never finish the second of them."""
    built.append(size)
    if len(built) == 2:
        fall_asleep()
    return students.build("mlp", *size)


def build_hungry_once(*size):
    """Want too much memory, but only in the first process: HUNGRY names a file that tells of it."""
    marker = Path(os.environ["HUNGRY"])
    if not marker.exists():
        marker.touch()
        np.ones(2**29)
    return students.build("mlp", *size)
