"""A third-party plugin for the tests.

It has small tracks on real images, good methods, and methods that each break a rule.
"""

from dataclasses import replace

from benchmark_adapters import datasets, hookimpl
from benchmark_adapters.types import Method, Option, Recipe, Student, Track, UserError
from ddbench_example import attacks, bad_methods, formats, methods

GOOD = (
    "good marks reads_stdin wanders slow megabyte hangs ignores_sigterm silenced comes_back_twice "
    "talks_of_folders improves naps"
)
BAD = (
    "unbalanced raises wrong_shape wrong_size wrong_dtype nan label_range label_dtype label_count "
    "no_pair nothing too_few dies dies_namelessly leaves exits silenced_raises meddles deletes "
    "no_generator empty_batches many_lines nan_report typed_report unseeded class_by_class uneven "
    "raises_bytes"
)
ATTACKS = (
    "forges claims replaces_batch plants_links replaces_folder daemons traced stops eats escapes "
    "floods flees"
)
DIVISIBLE = "undivided nearly_divided endless_part"


def read_few(folder, split):
    """Return the first 300 images of Fashion-MNIST."""
    images, labels = datasets.read_idx(folder, split)
    return images[:300], labels[:300]


def read_hidden(folder, split):
    """Return the test images, but no training images, so that class order can't be probed."""
    if split == "train":
        raise UserError("the training images are not available")
    return read_few(folder, split)


@hookimpl
def ddbench_methods():
    plain = [
        *methods_of(methods, GOOD),
        *methods_of(bad_methods, BAD),
        *methods_of(bad_methods, DIVISIBLE, is_divisible=True),
    ]
    typed = (
        Option("text", str, "a", "a text", ("a", "b")),
        Option("number", int, 3, "a number"),
        Option("share", float, 0.5, "a share"),
        Option("flag", bool, False, "a switch"),
    )
    dies = Option("dies", int, -1, "index of the part that is killed after two batches")
    forks = (
        Option("pids", str, None, "file that receives the process ids"),
        Option("asleep", bool, False, "whether the method never returns"),
    )
    texts = tuple(Option(name, str, "", name) for name in ("event", "kind", "target"))
    return [
        *plain,
        *(replace(method, options=texts) for method in methods_of(attacks, ATTACKS)),
        Method("divided", methods.divided, (dies,), divisible=True),
        Method("forks", methods.forks, forks),
        # Import paths are resolved only in the method's process.
        Method("options", "ddbench_example.lazy:options", typed),
        Method("nowhere", "ddbench_example.lazy:nowhere"),
    ]


def methods_of(module, names, is_divisible=False):
    """Return a method for each of the functions in ``module`` with these names."""
    return [
        Method(name.replace("_", "-"), getattr(module, name), (), "for tests", is_divisible)
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
        ),
        # This recipe runs three epochs of the official evaluator's loop.
        Recipe(
            "short/1",
            student="convnet3",
            width=8,
            epochs=3,
            lr_drop_after=2,
            reset_optimizer=True,
            batch_size=7,
            lr=0.01,
            schedule="step",
            augment="dsa",
        ),
    ]


@hookimpl
def ddbench_formats():
    return formats.formats()


@hookimpl
def ddbench_students():
    return [
        Student("late", "ddbench_example.students:build_late"),
        Student("hungry-once", "ddbench_example.students:build_hungry_once"),
    ]


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
