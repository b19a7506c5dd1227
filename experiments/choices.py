"""Print the tables that led to the default settings, for docs/experiments.md.

    python experiments/choices.py [recipes|decoders]

Accuracies are measured on training images that turbo-mini has not seen.
"""

import sys
from dataclasses import replace
from typing import NoReturn

import numpy as np
import torch

from benchmark_adapters import datasets
from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.distilled import balanced
from benchmark_adapters.scoring import students
from benchmark_adapters.scoring.evaluate import score
from benchmark_adapters.scoring.recipes import QUICKSTART
from benchmark_adapters.types import DistilledSet, Recipe, Student, Task
from gdd_plugin import method, pda
from gdd_plugin.decoders.choose import HELD_OUT_SAMPLES
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fidelity import psnr
from gdd_plugin.decoders.fitted.ridge import RidgeDecoder
from gdd_plugin.decoders.images import OutputSpec, resize, to_uint8
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.pda import Policy
from gdd_plugin.seeds import seeded_generator
from gdd_plugin.settings import OPTIONS
from gdd_plugin.training.data import RealImages
from gdd_plugin.training.metrics import distilled_set, student_accuracy

IPC = 20
# The default of `ddbench-turbo train --held-out`.
HELD_OUT = 5000
RECIPES = {
    "quickstart/1": QUICKSTART,
    "learning rate 0.02": replace(QUICKSTART, lr=0.02),
    "learning rate 0.1": replace(QUICKSTART, lr=0.1),
    "60 steps": replace(QUICKSTART, steps=60),
    "150 steps": replace(QUICKSTART, steps=150),
    "DSA": replace(QUICKSTART, augment="dsa"),
}
POLICIES = {
    "mirror p 0.5, rotation 10 p 0.5, tone 0.1 p 0.5": Policy(
        1, flip=0.5, tone=0.5, tone_range=0.1, rotate=0.5, degrees=10
    ),
    "mirror p 0.5": Policy(1, flip=0.5),
    "rotation 10 p 0.5, tone 0.1 p 0.5": Policy(
        1, tone=0.5, tone_range=0.1, rotate=0.5, degrees=10
    ),
    "rotation 10, tone 0.1": Policy(1, tone=1, tone_range=0.1, rotate=1, degrees=10),
    "tone 0.2": Policy(1, tone=1, tone_range=0.2),
    "rotation 10": Policy(1, rotate=1, degrees=10),
}


def sample(**options: str | int) -> DistilledSet:
    """Return a distilled set from generative-turbo with seed 0."""

    def training_images() -> NoReturn:
        raise RuntimeError("samples need no real images")

    values = {option.name: option.default for option in OPTIONS} | {"preset": "sampled"} | options
    task = Task(
        "choices", FASHION_MNIST, 0, "cpu", IPC, values, training_images, lambda **metadata: None
    )
    batches = method.distill(task, Budget(1e9, 1e9))
    parts = zip(*(map(np.asarray, batch) for batch in batches), strict=True)
    images, labels, is_sampled = (np.concatenate(part) for part in parts)
    return balanced(images, labels, is_sampled, FASHION_MNIST, IPC)


def draw_real() -> DistilledSet:
    """Return bundled training images, drawn as random-real draws them."""
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return balanced(images[order], labels[order], np.zeros(len(labels), bool), FASHION_MNIST, IPC)


def compare_recipes() -> None:
    """Print a row for each recipe of the student and each PDA policy."""
    test = RealImages(FASHION_MNIST, None, HELD_OUT, IPC).held_out

    def print_row(name: str, images: DistilledSet, recipe: Recipe = QUICKSTART) -> None:
        student = Student(recipe.student, students.convnet3)
        results = score(
            images, test, FASHION_MNIST, recipe, student, range(3), "cpu", lambda *_: None
        )
        percents = [100 * result.accuracy for result in results]
        each = " ".join(f"{percent:.1f}" for percent in percents)
        print(f"{name:60} {np.mean(percents):.1f}  ({each})", flush=True)

    for name, recipe in RECIPES.items():
        print_row(f"{name}, 20 real", draw_real(), recipe)
        print_row(f"{name}, 20 sampled", sample(pda="none"), recipe)
    print_row("quickstart/1, preset=published", sample(preset="published"))
    for name, policy in POLICIES.items():
        pda.POLICIES["default"] = policy
        print_row(f"10 sampled + 10 copies: {name}", sample(copies=1))


def compare_decoders(per_class: int = 300) -> None:
    """Print the accuracy with exact and fitted decoders, for images of two sizes."""
    turbo = TurboSampler("turbo-mini")
    images, labels = RealImages(FASHION_MNIST, None, HELD_OUT, IPC).held_out
    count = 10 * per_class
    latents = torch.cat([_latents(turbo, start, start + 100, 0) for start in range(0, count, 100)])
    sampled_labels = np.arange(count) % 10
    for size in (28, 14):
        output = OutputSpec(size, 1, turbo.border)
        dataset = replace(FASHION_MNIST, image_size=size)
        test = to_uint8(resize(torch.from_numpy(images).float(), size)).numpy(), labels
        exact = exact_decoder(turbo.pipe, output)
        drawn = _latents(turbo, 0, RidgeDecoder.samples + HELD_OUT_SAMPLES, 9)
        examples, others = drawn[: RidgeDecoder.samples], drawn[RidgeDecoder.samples :]
        fitted = RidgeDecoder(examples, exact(examples), output, turbo.size)
        quality = psnr(fitted(others), exact(others))
        for name, decode in (("exact", exact), ("fitted", fitted)):
            pixels = to_uint8(decode(latents)).numpy()
            distilled = distilled_set(pixels, sampled_labels, dataset, per_class)
            accuracies = student_accuracy(distilled, test, dataset, seeds=3).accuracies
            print(
                f"{size}x{size} {name:7} {100 * np.mean(accuracies):.1f}  PSNR {quality:.1f} dB",
                flush=True,
            )


def _latents(turbo: TurboSampler, start: int, stop: int, seed: int) -> torch.Tensor:
    """Sample latents, cycling through the classes."""
    keys = [(index % 10, index // 10) for index in range(start, stop)]
    return turbo.latents(
        [FASHION_MNIST.class_names[label] for label, _ in keys],
        [seeded_generator(seed, *key) for key in keys],
    )


if __name__ == "__main__":
    table = sys.argv[1] if sys.argv[1:] else "recipes"
    {"recipes": compare_recipes, "decoders": compare_decoders}[table]()
