"""The tables of losses and adapters in method.md: `python experiments/ablation.py FOLDER [losses|adapters]`.

FOLDER holds the checkpoints of a training, which `ddbench-turbo train --keep-checkpoints` leaves. Every row starts from
its autoencoder and teacher, and is scored on training images that no part of it has seen.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.types import DistilledSet
from gdd_plugin.sampler import TurboSampler
from gdd_plugin.training import adapt, evaluate, student, train
from gdd_plugin.training.data import Real

STEPS = 200
LOSSES = {  # matching, adversarial, distillation
    "adversarial": (0, 1, 0),
    "distillation": (0, 0, 1),
    "adversarial + 2.5 distillation": (0, 1, 2.5),
    "matching": (1, 0, 0),
}
EARLY, ADAPTING, SEEDS = 10, 150, 3
SETTINGS = train.Settings("fashion-mnist")


def checkpoints(base: Path, folder: Path, *stages: str) -> Path:
    """``folder`` with the stages of ``base`` that its training need not repeat."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    for stage in stages:
        shutil.copy(base / "checkpoints" / f"{stage}.pt", folder / "checkpoints")
    return folder


def student_of(base: Path, name: str, **chosen: float) -> Path:
    """A model made from ``base``'s teacher with the given settings of the student."""
    folder = checkpoints(
        base, base / "ablation" / name.replace(" ", ""), "features", "autoencoder", "teacher"
    )
    train.train(
        folder, FASHION_MNIST, None, replace(SETTINGS, student=replace(SETTINGS.student, **chosen))
    )
    return folder


def adapter_of(base: Path, model: Path, seed: int) -> Path:
    """An adapter of ``model``: matching alone, rank 8."""
    folder = checkpoints(base, base / "ablation" / f"adapter{seed}", "features")
    chosen = student.Settings(ADAPTING, lr=2e-3, adversarial=0, distillation=0)
    adapt.adapt(
        folder,
        FASHION_MNIST,
        None,
        adapt.Settings("fashion-mnist", str(model), None, seed=seed, student=chosen),
    )
    return folder


class Table:
    """Prints rows: the card's recipe with one seed, a student of 600 images per class."""

    def __init__(self) -> None:
        real = Real(FASHION_MNIST, None, SETTINGS.held_out, evaluate.PER_CLASS)
        drawn = evaluate.draw(real, evaluate.PER_CLASS)
        self.unseen, self.judge = real.unseen, evaluate.judge(drawn, FASHION_MNIST)
        self.spread = evaluate.variety(self.judge, drawn, FASHION_MNIST)
        self.row("600 real images per class", drawn)

    def model(self, name: str, model: Path, lora: Path | None = None) -> None:
        turbo = TurboSampler(str(model), lora=str(lora) if lora else None)
        self.row(name, evaluate.sample(turbo, FASHION_MNIST, evaluate.PER_CLASS))

    def row(self, name: str, images: DistilledSet) -> None:
        found = evaluate.worth(images, self.unseen, FASHION_MNIST, 1)
        recall = evaluate.per_class_percent(found)
        worst = f"{FASHION_MNIST.class_names[int(np.argmin(recall))]} {min(recall):.0f}"
        variety = evaluate.variety(self.judge, images, FASHION_MNIST) / self.spread
        print(
            f"| {name} | {100 * found.accuracies[0]:.1f} | {worst} | {100 * variety:.0f} |",
            flush=True,
        )


def main(base: Path, table: str = "") -> None:
    rows = Table()
    if table != "adapters":
        for name, (matching, adversarial, distillation) in LOSSES.items():
            rows.model(
                name,
                student_of(
                    base,
                    name,
                    steps=STEPS,
                    matching=matching,
                    adversarial=adversarial,
                    distillation=distillation,
                ),
            )
    if table != "losses":
        early = student_of(base, "early", steps=EARLY)
        rows.model(f"after {EARLY} steps", early)
        for seed in range(SEEDS):
            rows.model(f"adapted, seed {seed}", early, adapter_of(base, early, seed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
