"""Students that exhaust time or memory."""

import os
from pathlib import Path

import numpy as np

from benchmark_adapters.scoring import students
from ddbench_example.images import fall_asleep, has_slept

built = []


def build_late(*size):
    """Return a student, but never finish building the second one, until a process has tried it."""
    built.append(size)
    if len(built) == 2 and not has_slept():
        fall_asleep()
    return students.build("mlp", *size)


def build_hungry_once(*size):
    """Allocate too much memory in the first process only. HUNGRY names a file that marks it."""
    marker = Path(os.environ["HUNGRY"])
    if not marker.exists():
        marker.touch()
        np.ones(2**29)
    return students.build("mlp", *size)
