"""The table of losses in method.md: `python docs/ablation.py FOLDER`, where FOLDER holds a training's checkpoints.

`ddbench-turbo train --keep-checkpoints` leaves them. Every row starts from the same autoencoder and teacher, takes the
same number of the student's steps, and is scored on training images that no part of it has seen.
"""

import shutil
import statistics
import sys
from dataclasses import replace
from pathlib import Path

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from gdd_plugin.training import evaluate
from gdd_plugin.training.data import Real
from gdd_plugin.training.train import Settings, train

STEPS, SEED = 400, 0
LOSSES = {  # matching, adversarial, distillation
    "adversarial": (0, 1, 0),
    "distillation": (0, 0, 1),
    "adversarial + 2.5 distillation": (0, 1, 2.5),
    "matching": (1, 0, 0),
    "matching + .1 adversarial": (1, 0.1, 0),
    "matching + .1 adversarial + .1 distillation": (1, 0.1, 0.1),
}


def main(base: Path) -> None:
    settings = Settings("fashion-mnist")
    images, labels = datasets.load(FASHION_MNIST, "train")
    unseen = images[-settings.held_out :], labels[-settings.held_out :]
    real = evaluate.draw(Real(FASHION_MNIST, None, settings.held_out, evaluate.PER_CLASS))
    judge = evaluate.learn(real, FASHION_MNIST, SEED)
    spread = evaluate.variety(judge, real, FASHION_MNIST)
    print(f"{'600 real images per class':45} {100 * statistics.mean(evaluate.accuracies(judge, unseen, FASHION_MNIST)):.1f}", flush=True)
    for name, (matching, adversarial, distillation) in LOSSES.items():
        folder = base / "ablation" / name.replace(" ", "")
        for stage in ("features", "autoencoder", "teacher"):
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            shutil.copy(base / "checkpoints" / f"{stage}.pt", folder / "checkpoints")
        student = replace(settings.student, steps=STEPS, matching=matching, adversarial=adversarial, distillation=distillation)
        train(folder, FASHION_MNIST, None, replace(settings, student=student))
        sampled = evaluate.sample(str(folder), None, FASHION_MNIST)
        found = evaluate.accuracies(evaluate.learn(sampled, FASHION_MNIST, SEED), unseen, FASHION_MNIST)
        variety = evaluate.variety(judge, sampled, FASHION_MNIST) / spread
        print(f"{name:45} {100 * statistics.mean(found):.1f}  worst class {100 * min(found):.0f}  variety {100 * variety:.0f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
