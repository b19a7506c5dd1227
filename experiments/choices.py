"""The tables of choices in method.md: `python experiments/choices.py [recipes|maps]`. Accuracy on training images that turbo-mini has not seen."""

import sys
from dataclasses import replace

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
from gdd_plugin import decoders, pda
from gdd_plugin.method import rounds
from gdd_plugin.pda import Policy
from gdd_plugin.plugin import OPTIONS
from gdd_plugin.sampler import TurboSampler, generator
from gdd_plugin.training.data import Real
from gdd_plugin.training.evaluate import distilled, worth

IPC = 20
UNSEEN = Real(
    FASHION_MNIST, None, held_out=5000, per_class=IPC
).unseen  # as `ddbench-turbo train` leaves them
RECIPES = {
    "quickstart/1": QUICKSTART,
    "rate .02": replace(QUICKSTART, lr=0.02),
    "rate .1": replace(QUICKSTART, lr=0.1),
    "60 steps": replace(QUICKSTART, steps=60),
    "150 steps": replace(QUICKSTART, steps=150),
    "DSA": replace(QUICKSTART, augment="dsa"),
}
POLICIES = {
    "mirror p .5, turn 10 p .5, tone .1 p .5": Policy(
        1, flip=0.5, tone=0.5, tone_range=0.1, rotate=0.5, degrees=10
    ),
    "mirror p .5": Policy(1, flip=0.5),
    "turn 10 p .5, tone .1 p .5": Policy(1, tone=0.5, tone_range=0.1, rotate=0.5, degrees=10),
    "turn 10, tone .1": Policy(1, tone=1, tone_range=0.1, rotate=1, degrees=10),
    "tone .2": Policy(1, tone=1, tone_range=0.2),
    "turn 10": Policy(1, rotate=1, degrees=10),
}


def sampled(**options: str) -> DistilledSet:
    """A set as generative-turbo makes it with seed 0."""
    values = {option.name: option.default for option in OPTIONS} | options
    task = Task(
        "choices",
        FASHION_MNIST,
        0,
        "cpu",
        IPC,
        values,
        lambda: (_ for _ in ()).throw(RuntimeError),
        lambda **facts: None,
    )
    parts = zip(*(map(np.asarray, one) for one in rounds(task, Budget(1e9, 1e9))), strict=True)
    return balanced(*map(np.concatenate, parts), FASHION_MNIST, IPC)


def real() -> DistilledSet:
    """Bundled training images, drawn like random-real's."""
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return balanced(images[order], labels[order], np.zeros(len(labels), bool), FASHION_MNIST, IPC)


def show(name: str, distilled: DistilledSet, recipe: Recipe = QUICKSTART) -> None:
    student = Student(recipe.student, students.convnet3)
    found = [
        result.accuracy
        for result in score(
            distilled, UNSEEN, FASHION_MNIST, recipe, student, range(3), "cpu", lambda *_: None
        )
    ]
    print(
        f"{name:60} {100 * np.mean(found):.1f}  ({' '.join(f'{100 * one:.1f}' for one in found)})",
        flush=True,
    )


def recipes() -> None:
    """Recipes of the student, and policies of PDA."""
    for name, recipe in RECIPES.items():
        show(f"{name}, 20 real", real(), recipe)
        show(f"{name}, 20 sampled", sampled(pda="none"), recipe)
    show("quickstart/1, preset=published", sampled(preset="published"))
    for name, policy in POLICIES.items():
        pda.POLICIES["default"] = policy
        show(f"10 sampled + 10 copies: {name}", sampled())


def maps(per_class: int = 300) -> None:
    """What fitted maps cost, for images of two sizes."""
    turbo = TurboSampler("turbo-mini")
    names = FASHION_MNIST.class_names

    def latents(first: int, last: int, seed: int) -> torch.Tensor:
        keys = [(index % 10, index // 10) for index in range(first, last)]
        return turbo.latents(
            [names[label] for label, _ in keys], [generator(seed, *key) for key in keys]
        )

    made = torch.cat([latents(first, first + 100, 0) for first in range(0, 10 * per_class, 100)])
    labels = np.arange(len(made)) % 10
    for size in (28, 14):
        target, data = (
            decoders.Target(size, 1, turbo.border),
            replace(FASHION_MNIST, image_size=size),
        )
        small = decoders.resized(torch.from_numpy(UNSEEN[0]).float(), size)
        unseen = decoders.to_uint8(small).numpy(), UNSEEN[1]
        exact = decoders.exact(turbo.pipe, target)
        fitted, quality = decoders.fitted(
            exact, target, turbo.size, lambda count: latents(0, count, 9)
        )
        for name, decode in (("exact", exact), ("fitted", fitted)):
            images = decoders.to_uint8(decode(made)).numpy()
            found = worth(
                distilled(images, labels, data, per_class), unseen, data, seeds=3
            ).accuracies
            print(
                f"{size}x{size} {name:7} {100 * np.mean(found):.1f}  PSNR {quality:.1f} dB",
                flush=True,
            )


if __name__ == "__main__":
    {"recipes": recipes, "maps": maps}[sys.argv[1] if sys.argv[1:] else "recipes"]()
