"""A third-party distribution for the tests.

It has a small track on real images, good methods, and methods that break every rule.
"""

import os
import signal
from dataclasses import replace

import numpy as np

from benchmark_adapters import datasets, hookimpl
from benchmark_adapters.types import Format, Method, Option, Recipe, Student, Track, UserError
from ddbench_example import bad_methods, methods
from ddbench_example.images import fall_asleep

GOOD = (
    "good marks reads_stdin wanders slow megabyte hangs ignores_sigterm silenced comes_back_twice "
    "talks_of_folders"
)
BAD = (
    "unbalanced raises wrong_shape wrong_size wrong_dtype nan label_range label_dtype label_count "
    "no_pair nothing too_few dies leaves exits silenced_raises meddles deletes no_generator "
    "empty_rounds many_lines nan_fact typed_fact unseeded class_by_class"
)
DIVISIBLE = "undivided nearly_divided endless_part"


def read_few(folder, split):
    """The first 300 images of Fashion-MNIST."""
    images, labels = datasets.read_idx(folder, split)
    return images[:300], labels[:300]


def read_hidden(folder, split):
    """The same without real training images, so that no class order can be probed."""
    if split == "train":
        raise UserError("the training images are hidden")
    return read_few(folder, split)


def read_greedy(path, dataset):
    """Wants more memory than a process may have, though not more than the machine has."""
    return np.ones(2**29)


def read_sleepy(path, dataset):
    fall_asleep()


def read_deadly(path, dataset):
    os.kill(os.getpid(), signal.SIGSEGV)


def write_nothing(sets, folder):
    pass


@hookimpl
def ddbench_methods():
    plain = [*part(methods, GOOD), *part(bad_methods, BAD), *part(bad_methods, DIVISIBLE, True)]
    typed = (
        Option("text", str, "a", "a text", ("a", "b")),
        Option("number", int, 3, "a number"),
        Option("share", float, 0.5, "a share"),
        Option("flag", bool, False, "a switch"),
    )
    dies = Option("dies", int, -1, "part that is killed after two rounds")
    forks = (
        Option("pids", str, None, "file for process ids"),
        Option("asleep", bool, False, "whether it never ends"),
    )
    return [
        *plain,
        Method("divided", methods.divided, (dies,), divisible=True),
        Method("forks", methods.forks, forks),
        # By their import path, so that only the method's process looks for it.
        Method("options", "ddbench_example.methods:options", typed),
        Method("nowhere", "ddbench_example.methods:nowhere"),
    ]


def part(module, names, divisible=False):
    return [
        Method(name.replace("_", "-"), getattr(module, name), (), "for tests", divisible)
        for name in names.split()
    ]


@hookimpl
def ddbench_datasets():
    few = replace(datasets.FASHION_MNIST, name="few", read=read_few, test_size=300)
    return [
        few,
        replace(few, name="few-too"),
        replace(few, name="few-hidden", read=read_hidden),
        replace(few, name="absent", markers=("no such file",)),
    ]


@hookimpl
def ddbench_recipes():
    return [
        Recipe(
            "few/1",
            student="convnet3",
            width=8,
            steps=4,
            batch_size=20,
            lr=0.05,
            schedule="one-cycle",
            augment="dsa",
        )
    ]


@hookimpl
def ddbench_formats():
    return [
        Format(
            read.__name__.removeprefix("read_"), write_nothing, read, lambda path, dataset: [path]
        )
        for read in (read_greedy, read_sleepy, read_deadly)
    ]


def build_late(*size, built=[]):  # noqa: B006 (it counts)
    """Never finish the second of them."""
    built.append(size)
    if len(built) == 2:
        fall_asleep()
    from benchmark_adapters.scoring import students  # imports torch

    return students.build("mlp", *size)


@hookimpl
def ddbench_students():
    return [Student("late", build_late)]


@hookimpl
def ddbench_tracks():
    few = Track(
        "few",
        ("few",),
        time_limit=30,
        ipc=(2,),
        default_ipc=2,
        recipe="few/1",
        repeats=2,
        bundled_data=True,
    )
    return [
        few,
        replace(few, name="hidden", datasets=("few-hidden",)),
        replace(few, name="pair", datasets=("few", "few-too"), repeats=1),
        replace(few, name="half", datasets=("few", "absent"), repeats=1, bundled_data=False),
        replace(few, name="few-sizes", ipc=(1, 2), default_ipc=1, repeats=1, real_data=False),
    ]
