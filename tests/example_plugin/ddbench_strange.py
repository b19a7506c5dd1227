"""A third-party distribution for the tests: a small track on real images, good methods, and methods that break every rule."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmark_adapters import datasets, hookimpl
from benchmark_adapters.types import Format, Method, Option, Recipe, Student, Track, UserError

CLASSES = 10


def read_few(folder, split):
    """The first 300 images of Fashion-MNIST."""
    images, labels = datasets.read_idx(folder, split)
    return images[:300], labels[:300]


def read_hidden(folder, split):
    """The same without real training images, so that no class order can be probed."""
    if split == "train":
        raise UserError("the training images are hidden")
    return read_few(folder, split)


def fall_asleep():
    """Longer than any test waits; ASLEEP names a file by which a test knows of it."""
    if "ASLEEP" in os.environ:
        Path(os.environ["ASLEEP"]).touch()
    time.sleep(3600)


def images(per_class=1, value=100):
    labels = np.tile(np.arange(CLASSES), per_class)
    return np.full((len(labels), 1, 28, 28), value, np.uint8), labels


def good(task, budget):
    """Noise from the seed, one round for each image per class."""
    source = np.random.default_rng(task.seed)
    task.ready(model="noise", batch=CLASSES)
    for _ in range(task.ipc or 10_000):
        labels = np.arange(CLASSES)
        yield source.integers(0, 256, (CLASSES, 1, 28, 28), dtype=np.uint8), labels


def slow(task, budget):
    """Four rounds, then much too late the others."""
    yield from (images() for _ in range(4))
    fall_asleep()


def unbalanced(task, budget):
    """Class 0 comes twice as often, and the last round lacks class 9."""
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


def megabyte(task, budget):
    print("first words")
    for _ in range(32):
        print("x" * 64 * 1024)
    print("last words", file=sys.stderr)
    yield from good(task, budget)


def hangs(task, budget):
    fall_asleep()
    yield images()


def ignores_sigterm(task, budget):
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    yield images()
    fall_asleep()


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


def images_of(task):
    yield from (images(value=index) for index in range(task.ipc))


def dies(task, budget):
    yield images()
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(task, budget):
    yield images()
    os._exit(7)


def exits(task, budget):
    yield images()
    sys.exit("enough")


def reads_stdin(task, budget):
    assert sys.stdin.read() == ""
    yield from images_of(task)


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


def wanders(task, budget):
    """Changes its working directory."""
    os.chdir("/")
    yield from images_of(task)


def silenced(task, budget):
    """Closes its output."""
    yield from images_of(task)
    sys.stdout.close()


def silenced_raises(task, budget):
    sys.stderr.close()
    raise RuntimeError("nobody hears it")
    yield


def meddles(task, budget):
    """Writes into every open file descriptor."""
    yield images()
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, b"garbage\n")
        except OSError:
            continue
    fall_asleep()


def deletes(task, budget):
    """Removes the rounds that it has delivered."""
    yield images()
    for path in Path(gc_rounds()).glob("*.safetensors"):
        path.unlink()
    yield images()


def gc_rounds():
    """The folder of the rounds, which no method is told."""
    frame = sys._getframe()
    while "folder" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["folder"]


def comes_back_twice(task, budget):
    """Its fork goes on as if it were the method."""
    yield images()
    if os.fork() == 0:
        return
    time.sleep(0.5)
    yield images()


def no_generator(task, budget):
    return None


def empty_rounds(task, budget):
    while True:
        yield images()[0][:0], np.arange(0)


def talks_of_folders(task, budget):
    task.ready(model="/home/alice/models/mine", weights="/home/alice/w.bin")
    yield from images_of(task)
    raise RuntimeError("nothing in /home/alice/models/mine and ~alice/data")


def many_lines(task, budget):
    raise UserError("one\ntwo\x1b[31m " + 1000 * "x")
    yield


def nan_fact(task, budget):
    task.ready(loss=float("nan"))
    yield from images_of(task)


def typed_fact(task, budget):
    task.ready(batch="many")
    yield from images_of(task)


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


def noise(source, label=None):
    labels = np.arange(CLASSES) if label is None else np.array([label])
    return source.integers(0, 256, (len(labels), 1, 28, 28), dtype=np.uint8), labels


def unseeded(task, budget):
    while True:
        yield noise(np.random.default_rng())


def class_by_class(task, budget):
    """All images of a class, then all of the next."""
    source = np.random.default_rng(task.seed)
    for label in range(CLASSES):
        yield from (noise(source, label) for _ in range(task.ipc or 20))


def undivided(task, budget):
    """Makes the whole set in every part."""
    source = np.random.default_rng(task.seed)
    for _ in range(task.ipc or 50):
        yield noise(source)


def nearly_divided(task, budget):
    """A pixel differs between parts and whole, as where other batches round otherwise."""
    for index in range(task.part, task.ipc or 50, task.parts):
        made, labels = noise(np.random.default_rng([task.seed, index]))
        made[:, 0, 0, 0] = task.parts
        yield made, labels


def endless_part(task, budget):
    source = np.random.default_rng([task.seed, task.part])
    while True:
        yield noise(source)
        time.sleep(0.01)


def read_greedy(path, dataset):
    """Wants more memory than a process may have, though not more than the machine has."""
    return np.ones(2**29)


def read_sleepy(path, dataset):
    fall_asleep()


def read_deadly(path, dataset):
    os.kill(os.getpid(), signal.SIGSEGV)


def write_nothing(sets, folder):
    pass


METHODS = [
    good, slow, unbalanced, raises, wrong_shape, wrong_size, wrong_dtype, nan, label_range, label_dtype, label_count, no_pair, nothing,
    too_few, megabyte, hangs, ignores_sigterm, dies, leaves, exits, reads_stdin, marks, wanders, silenced, silenced_raises, meddles, deletes,
    comes_back_twice, no_generator, empty_rounds, talks_of_folders, many_lines, nan_fact, typed_fact, unseeded, class_by_class,
]  # fmt: skip


@hookimpl
def ddbench_methods():
    plain = [
        Method(method.__name__.replace("_", "-"), method, summary="for tests") for method in METHODS
    ]
    typed = (
        Option("text", str, "a", "a text", ("a", "b")),
        Option("number", int, 3, "a number"),
        Option("share", float, 0.5, "a share"),
        Option("flag", bool, False, "a switch"),
    )
    in_parts = Method(
        "divided",
        divided,
        (Option("dies", int, -1, "part that is killed after two rounds"),),
        divisible=True,
    )
    in_many = Method(
        "forks",
        forks,
        (
            Option("pids", str, None, "file for process ids"),
            Option("asleep", bool, False, "whether it never ends"),
        ),
    )
    badly = [
        Method(method.__name__.replace("_", "-"), method, divisible=True)
        for method in (undivided, nearly_divided, endless_part)
    ]
    return [*plain, in_parts, *badly, in_many, Method("options", options, typed)]


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
    """The second of them is built when the time is over."""
    built.append(size)
    if len(built) == 2:
        signal.raise_signal(signal.SIGALRM)
    from benchmark_adapters.scoring import students  # imports torch

    return students.build("mlp", *size)


@hookimpl
def ddbench_students():
    return [Student("late", build_late)]


@hookimpl
def ddbench_tracks():
    return [
        Track(
            "few",
            ("few",),
            time_limit=30,
            ipc=(2,),
            default_ipc=2,
            recipe="few/1",
            repeats=2,
            bundled_data=True,
        ),
        Track(
            "hidden",
            ("few-hidden",),
            time_limit=30,
            ipc=(2,),
            default_ipc=2,
            recipe="few/1",
            repeats=2,
            bundled_data=True,
        ),
        Track(
            "pair",
            ("few", "few-too"),
            time_limit=30,
            ipc=(2,),
            default_ipc=2,
            recipe="few/1",
            repeats=1,
            bundled_data=True,
        ),
        Track(
            "half",
            ("few", "absent"),
            time_limit=30,
            ipc=(2,),
            default_ipc=2,
            recipe="few/1",
            repeats=1,
        ),
        Track(
            "few-sizes",
            ("few",),
            time_limit=30,
            ipc=(1, 2),
            default_ipc=1,
            recipe="few/1",
            repeats=1,
            bundled_data=True,
            real_data=False,
        ),
    ]
