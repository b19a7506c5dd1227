"""Methods that each break a different rule."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from benchmark_adapters.types import Replacement, UserError
from ddbench_example.images import CLASSES, fall_asleep, images, images_of, noise


def unbalanced(task, budget):
    """Yield class 0 twice as often as the others, and a last batch without class 9."""
    for _ in range(4):
        yield images()
        yield images()[0][:1], np.array([0])
    yield images()[0][:9], np.arange(9)
    fall_asleep()


def raises(task, budget):
    yield images()
    raise RuntimeError("the model\nexploded")


def wrong_shape(task, budget):
    yield np.zeros((10, 28, 28), np.uint8), np.arange(10)


def wrong_size(task, budget):
    yield np.zeros((10, 1, 32, 32), np.uint8), np.arange(10)


def wrong_dtype(task, budget):
    yield np.zeros((10, 1, 28, 28), np.float64), np.arange(10)


def nan(task, budget):
    yield np.full((10, 1, 28, 28), np.nan, np.float32), np.arange(10)


def uneven(task, budget):
    """Yield a replacement that lacks an image of class 9."""
    yield Replacement(*images(2))
    yield Replacement(images(2)[0][:-1], images(2)[1][:-1])


def label_range(task, budget):
    yield images()[0], np.arange(1, 11)


def label_dtype(task, budget):
    yield images()[0], np.arange(10) / 2


def label_count(task, budget):
    yield images()[0], np.arange(5)


def no_pair(task, budget):
    yield images()[0]


def nothing(task, budget):
    yield from ()


def too_few(task, budget):
    yield images()


def dies(task, budget):
    yield images()
    os.kill(os.getpid(), signal.SIGKILL)


def dies_namelessly(task, budget):
    yield images()
    os.kill(os.getpid(), 40)


def leaves(task, budget):
    yield images()
    os._exit(7)


def exits(task, budget):
    yield images()
    sys.exit("enough")


def raises_bytes(task, budget):
    """Name a file whose name is not UTF-8."""
    raise RuntimeError(os.fsdecode(b"no file \xff"))
    yield


def silenced_raises(task, budget):
    sys.stderr.close()
    raise RuntimeError("nobody hears it")
    yield


def meddles(task, budget):
    """Write to every open file descriptor."""
    yield images()
    for descriptor in range(3, 1024):
        try:
            os.write(descriptor, b"garbage\n")
        except OSError:
            continue
    fall_asleep()


def deletes(task, budget):
    """Delete the batches that have been written."""
    yield images()
    for path in Path(batches_folder()).glob("*.safetensors"):
        path.unlink()
    yield images()


def batches_folder():
    """Find the folder of the batches, which methods are not meant to know."""
    frame = sys._getframe()
    while "folder" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["folder"]


def no_generator(task, budget):
    return None


def empty_batches(task, budget):
    while True:
        yield images()[0][:0], np.arange(0)


def many_lines(task, budget):
    raise UserError("one\ntwo\x1b[31m " + 1000 * "x")
    yield


def nan_report(task, budget):
    task.ready(loss=float("nan"))
    yield from images_of(task)


def typed_report(task, budget):
    task.ready(batch="many")
    yield from images_of(task)


def unseeded(task, budget):
    while True:
        yield noise(np.random.default_rng())


def class_by_class(task, budget):
    """Yield all images of a class before those of the next."""
    source = np.random.default_rng(task.seed)
    for label in range(CLASSES):
        yield from (noise(source, label) for _ in range(task.ipc or 20))


def undivided(task, budget):
    """Generate the whole set in every part."""
    source = np.random.default_rng(task.seed)
    for _ in range(task.ipc or 50):
        yield noise(source)


def nearly_divided(task, budget):
    """Yield parts that differ from the whole in one pixel, as other batch sizes may cause."""
    for index in range(task.part, task.ipc or 50, task.parts):
        pictures, labels = noise(np.random.default_rng([task.seed, index]))
        pictures[:, 0, 0, 0] = task.parts
        yield pictures, labels


def endless_part(task, budget):
    source = np.random.default_rng([task.seed, task.part])
    while True:
        yield noise(source)
        time.sleep(0.01)
