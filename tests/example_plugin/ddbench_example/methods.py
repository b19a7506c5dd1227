"""Methods that keep their contract, however odd they are."""

import os
import signal
import subprocess
import sys
import time

import numpy as np

from ddbench_example.images import CLASSES, fall_asleep, images, images_of


def good(task, budget):
    """Noise from the seed, one round for each image per class."""
    source = np.random.default_rng(task.seed)
    task.ready(model="noise", batch=CLASSES)
    for _ in range(task.ipc or 10_000):
        labels = np.arange(CLASSES)
        yield source.integers(0, 256, (CLASSES, 1, 28, 28), dtype=np.uint8), labels


def divided(task, budget):
    """Images that hold their index, each with a copy that is one brighter; a part of the set where there are several."""
    task.ready(model="indices", batch=CLASSES)
    wanted = range(task.part, (task.ipc + 1) // 2 if task.ipc else 100_000, task.parts)
    for count, index in enumerate(wanted):
        if task.part == task.options["dies"] and count == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if task.ipc is None:
            time.sleep(0.05)
        picture = np.full((CLASSES, 2, 1, 28, 28), 2 * index % 256, np.uint8)
        picture[:, 1] += 1
        yield (
            picture.reshape(-1, 1, 28, 28),
            np.repeat(np.arange(CLASSES), 2),
            np.tile([True, False], CLASSES),
        )


def marks(task, budget):
    """Each sampled image is followed by a copy."""
    for _ in range(task.ipc):
        sample, labels = images()
        yield (
            np.concatenate([sample, sample]),
            np.concatenate([labels, labels]),
            np.repeat([True, False], CLASSES),
        )


def options(task, budget):
    task.ready(seen={key: repr(value) for key, value in task.options.items()})
    yield from images_of(task)


def forks(task, budget):
    """Leaves a child in its process group, one in a session of its own, and one that has no mark of the run either."""
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
    """Changes its working directory."""
    os.chdir("/")
    yield from images_of(task)


def reads_stdin(task, budget):
    assert sys.stdin.read() == ""
    yield from images_of(task)


def slow(task, budget):
    """Four rounds, then much too late the others."""
    yield from (images() for _ in range(4))
    fall_asleep()


def megabyte(task, budget):
    print("first words")
    for _ in range(32):
        print("x" * 64 * 1024)
    print("last words", file=sys.stderr)
    yield from good(task, budget)


def silenced(task, budget):
    """Closes its output."""
    yield from images_of(task)
    sys.stdout.close()


def comes_back_twice(task, budget):
    """Its fork goes on as if it were the method."""
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
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    yield images()
    fall_asleep()
