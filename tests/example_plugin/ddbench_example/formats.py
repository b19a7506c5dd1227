"""Formats with readers that exhaust a resource or try to do more than read."""

import json
import os
import signal

import numpy as np

from benchmark_adapters.types import DistilledSet, Format
from ddbench_example.images import CLASSES, fall_asleep

# Events that only the process that trains students may send.
FORGED_EVENTS = (
    {"type": "scoring", "device": "forged", "threads": 1},
    {
        "type": "seed",
        "student": "convnet3",
        "seed": 0,
        "accuracy": 1.0,
        "confusion": [
            [30 * (row == column) for column in range(CLASSES)] for row in range(CLASSES)
        ],
        "seconds": 0.0,
        "backend": "plain",
        "fallback": None,
        "cache_key": "forged",
    },
)


def read_greedy(path, dataset):
    """Allocate more memory than a process may use, but less than the machine has."""
    return np.ones(2**29)


def read_sleepy(path, dataset):
    fall_asleep()


def read_deadly(path, dataset):
    os.kill(os.getpid(), signal.SIGSEGV)


def read_forging(path, dataset):
    """Write events with perfect scores to every open file descriptor, then return noise."""
    lines = "".join(json.dumps(event) + "\n" for event in FORGED_EVENTS).encode()
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, lines)
        except OSError:
            continue
    labels = np.repeat(np.arange(CLASSES), 2)
    shape = (len(labels), dataset.channels, dataset.image_size, dataset.image_size)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return DistilledSet(images, labels, dataset.class_names, np.ones(len(labels), bool))


def write_nothing(sets, folder):
    pass


def formats():
    """Return a format for each reader."""
    return [
        Format(read.__name__.removeprefix("read_"), write_nothing, read, lambda path, dataset: [])
        for read in (read_greedy, read_sleepy, read_deadly, read_forging)
    ]
