"""Print the tables of losses and adapters in docs/experiments.md.

    python experiments/ablation.py FOLDER [losses|adapters]

FOLDER contains the checkpoints of a training run, from `ddbench-turbo train --keep-checkpoints`.
Every row starts from its autoencoder and teacher. Models are scored on training images that neither
they nor the networks they learned from have seen.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.types import DistilledSet
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.training import evaluate, metrics
from gdd_plugin.training.data import RealImages
from gdd_plugin.training.settings import LoraSettings, StudentSettings, TurboMiniSettings
from gdd_plugin.training.train_lora import train_lora
from gdd_plugin.training.train_turbo_mini import train_turbo_mini

STEPS = 200
LOSS_WEIGHTS: dict[str, dict[str, float]] = {
    "adversarial": {"matching": 0, "adversarial": 1, "distillation": 0},
    "distillation": {"matching": 0, "adversarial": 0, "distillation": 1},
    "adversarial + 2.5 distillation": {"matching": 0, "adversarial": 1, "distillation": 2.5},
    "matching": {"matching": 1, "adversarial": 0, "distillation": 0},
}
EARLY_STEPS, ADAPTER_STEPS, SEEDS = 10, 150, 3
SETTINGS = TurboMiniSettings("fashion-mnist")


def copy_checkpoints(base: Path, folder: Path, *stages: str) -> Path:
    """Copy the checkpoints of stages that are not repeated, and return ``folder``."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    for stage in stages:
        shutil.copy(base / "checkpoints" / f"{stage}.pt", folder / "checkpoints")
    return folder


def train_student(base: Path, name: str, steps: int, **weights: Any) -> Path:
    """Train a student from the teacher in ``base``, and return the folder of the model."""
    folder = base / "ablation" / name.replace(" ", "")
    copy_checkpoints(base, folder, "features", "autoencoder", "teacher")
    student = replace(SETTINGS.student, steps=steps, **weights)
    train_turbo_mini(folder, FASHION_MNIST, None, replace(SETTINGS, student=student))
    return folder


def train_adapter(base: Path, model: Path, seed: int) -> Path:
    """Train an adapter of rank 8 for ``model`` with the matching loss alone; return its folder."""
    folder = copy_checkpoints(base, base / "ablation" / f"adapter{seed}", "features")
    student = StudentSettings(ADAPTER_STEPS, lr=2e-3, adversarial=0, distillation=0)
    settings = LoraSettings("fashion-mnist", str(model), None, seed=seed, student=student)
    train_lora(folder, FASHION_MNIST, None, settings)
    return folder


class Table:
    """A printed table with the model card's measurements, for one set of images per row.

    A single student is trained on 600 images per class.
    """

    def __init__(self) -> None:
        images = RealImages(FASHION_MNIST, None, SETTINGS.held_out, evaluate.PER_CLASS)
        real = metrics.draw_images(images, evaluate.PER_CLASS)
        self.test = images.held_out
        self.reference_student = metrics.train_reference_student(real, FASHION_MNIST)
        self.real_variety = metrics.variety(self.reference_student, real, FASHION_MNIST)
        self.print_row("600 real images per class", real)

    def print_model(self, name: str, model: Path, lora: Path | None = None) -> None:
        """Print the row for images sampled from a model."""
        turbo = TurboSampler(str(model), lora=str(lora) if lora else None)
        images = metrics.sample_images(turbo, FASHION_MNIST, evaluate.PER_CLASS)
        self.print_row(name, images)

    def print_row(self, name: str, images: DistilledSet) -> None:
        """Print the accuracy, the worst class and the variety of ``images``."""
        scores = metrics.student_accuracy(images, self.test, FASHION_MNIST, 1)
        recall = metrics.recall_percent(scores)
        worst = f"{FASHION_MNIST.class_names[int(np.argmin(recall))]} {min(recall):.0f}"
        variety = metrics.variety(self.reference_student, images, FASHION_MNIST)
        share = 100 * variety / self.real_variety
        print(f"| {name} | {100 * scores.accuracies[0]:.1f} | {worst} | {share:.0f} |", flush=True)


def main(base: Path, only: str = "") -> None:
    """Print both tables, or only the one named ``only``."""
    table = Table()
    if only != "adapters":
        for name, weights in LOSS_WEIGHTS.items():
            table.print_model(name, train_student(base, name, STEPS, **weights))
    if only != "losses":
        early = train_student(base, "early", EARLY_STEPS)
        table.print_model(f"after {EARLY_STEPS} steps", early)
        for seed in range(SEEDS):
            table.print_model(f"adapted, seed {seed}", early, train_adapter(base, early, seed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
