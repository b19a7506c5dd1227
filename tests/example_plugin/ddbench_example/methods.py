"""Methods that keep their contract, even if they behave oddly."""

import os
import signal
import subprocess
import sys
import time

import numpy as np

from benchmark_adapters.types import Replacement
from ddbench_example.images import CLASSES, fall_asleep, has_slept, images, images_of


def good(task, budget):
    """Yield noise drawn from the seed, with one image of each class in a batch."""
    source = np.random.default_rng(task.seed)
    task.ready(model="noise", batch=CLASSES)
    for _ in range(task.ipc or 10_000):
        labels = np.arange(CLASSES)
        yield source.integers(0, 256, (CLASSES, 1, 28, 28), dtype=np.uint8), labels


def naps(task, budget):
    """Yield the batches of `good`, but the first process falls asleep after three of them."""
    for number, batch in enumerate(good(task, budget)):
        if number == 3 and not has_slept():
            fall_asleep()
        yield batch


def improves(task, budget):
    """Yield a set, then two better ones. Images of the last are optimised, not sampled."""
    task.ready(model="improving")
    for value in (1, 2):
        yield Replacement(*images(task.ipc, value))
    task.report(sampled=500, sampling_seconds=0.25)
    yield Replacement(*images(task.ipc, 3), np.zeros(CLASSES * task.ipc, bool))


def divided(task, budget):
    """Yield images with their index as pixel value, each with a copy that is brighter by one.

    If the set has several parts, the method generates only its own part.
    """
    task.ready(model="indices", batch=CLASSES)
    end = (task.ipc + 1) // 2 if task.ipc else 100_000
    for count, index in enumerate(range(task.part, end, task.parts)):
        if task.part == task.options["dies"] and count == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if task.ipc is None:
            time.sleep(0.05)
        pictures = np.full((CLASSES, 2, 1, 28, 28), 2 * index % 256, np.uint8)
        pictures[:, 1] += 1
        yield (
            pictures.reshape(-1, 1, 28, 28),
            np.repeat(np.arange(CLASSES), 2),
            np.tile([True, False], CLASSES),
        )


def marks(task, budget):
    """Yield samples followed by their copies."""
    for _ in range(task.ipc):
        sample, labels = images()
        yield (
            np.concatenate([sample, sample]),
            np.concatenate([labels, labels]),
            np.repeat([True, False], CLASSES),
        )


def forks(task, budget):
    """Leave three child processes behind.

    The first is in the method's process group. The second has its own session. The third has its
    own session and also lacks the tag of the run.
    """
    for detached, environment in ((False, None), (True, None), (True, {})):
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"],
            start_new_session=detached,
            env=environment,
        )
        with open(task.options["pids"], "a") as file:
            file.write(f"{child.pid}\n")
    if task.options["asleep"]:
        fall_asleep()
    yield from images_of(task)


def wanders(task, budget):
    """Change the working directory."""
    os.chdir("/")
    yield from images_of(task)


def reads_stdin(task, budget):
    assert sys.stdin.read() == ""
    yield from images_of(task)


def slow(task, budget):
    """Yield four batches, and no others before the limit."""
    yield from (images() for _ in range(4))
    fall_asleep()


def megabyte(task, budget):
    print("first words")
    for _ in range(32):
        print("x" * 64 * 1024)
    print("last words", file=sys.stderr)
    yield from good(task, budget)


def silenced(task, budget):
    """Close stdout."""
    yield from images_of(task)
    sys.stdout.close()


def comes_back_twice(task, budget):
    """Fork a process that continues as if it were the method."""
    yield images()
    if os.fork() == 0:
        return
    time.sleep(0.5)
    yield images()


def talks_of_folders(task, budget):
    task.ready(model="/home/alice/models/mine", weights="/home/alice/w.bin")
    yield from images_of(task)
    raise RuntimeError("nothing in /home/alice/models/mine and ~alice/data")


def hangs(task, budget):
    fall_asleep()
    yield images()


def ignores_sigterm(task, budget):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    yield images()
    fall_asleep()
