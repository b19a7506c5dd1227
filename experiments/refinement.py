"""Compare settings of the refinement, for the table in experiments.md.

    python experiments/refinement.py POOL [NAME ...]

POOL is the folder of a run with 600 sampled images per class of Fashion-MNIST, from `ddbench run
--method generative-turbo --track fashion-mnist --ipc 600 --repeats 0 --option pda=none`. A set of
10 images per class is selected from it, and then refined once with each group of settings. Each
takes about four minutes on two cores. The whole of Fashion-MNIST must be installed.
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring.recipes import DSA
from benchmark_adapters.types import Task
from gdd_plugin.improvement import choose, select
from gdd_plugin.improvement.improve import Pool
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.real_images import RealImages
from gdd_plugin.improvement.refine import Refinement, RefineSettings

IPC, VISITS, SWEEPS = 10, 40, 4
STEPS, SEEDS = 200, (40_000, 40_001, 40_002, 40_003)
DEFAULT = RefineSettings()
VARIANTS = {
    "default": DEFAULT,
    "learning rate 0.01": replace(DEFAULT, lr=0.01),
    "learning rate 0.02": replace(DEFAULT, lr=0.02),
    "learning rate 0.03": replace(DEFAULT, lr=0.03),
    "ridge 0.03": replace(DEFAULT, ridge=0.03),
    "ridge 0.3": replace(DEFAULT, ridge=0.3),
    "lives of 40 steps": replace(DEFAULT, life=40),
    "lives of 200 steps": replace(DEFAULT, life=200),
    "500 real images": replace(DEFAULT, real=500),
    "2000 real images": replace(DEFAULT, real=2000),
    "learning rate 0.03 of the networks": replace(DEFAULT, network_lr=0.03),
    "3 steps of the images in a visit": replace(DEFAULT, image_steps=3),
}


def make_task() -> Task:
    """Return a task of the track fashion-mnist."""
    return Task(
        "fashion-mnist",
        FASHION_MNIST,
        seed=0,
        device="cpu",
        ipc=IPC,
        options={},
        training_images=lambda: datasets.load(FASHION_MNIST, "train"),
        ready=lambda **values: None,
        recipe=DSA,
    )


def select_set(nets: Networks, real: RealImages, pool: Pool) -> tuple[Tensor, Tensor]:
    """Return images and labels of a set that regression selects from the pool."""
    kernels = select.kernels(nets, real, pool.pixels, pool.labels, seed=0)
    selected = pool.first(IPC, FASHION_MNIST.num_classes)
    sweeps = select.exchange(kernels, selected, 0, lambda: False)
    for _, better in zip(range(SWEEPS), sweeps, strict=False):
        selected = better
    return pool.pixels[selected], pool.labels[selected]


def show(name: str, nets: Networks, real: RealImages, pixels: Tensor, labels: Tensor) -> None:
    """Print the held-out accuracy in per cent of networks trained on a set."""
    (values,) = choose.accuracies(nets, real, [pixels], labels, STEPS, SEEDS)
    error = np.std(values, ddof=1) / len(values) ** 0.5
    print(f"| {name} | {100 * fmean(values):.1f} ± {100 * error:.1f} |", flush=True)


def main(folder: Path, names: list[str]) -> None:
    """Print a row for each of the settings called ``names``, or for all."""
    torch.manual_seed(0)
    task = make_task()
    nets, real = Networks(task, compiled=True), RealImages.of(task)
    sampled = load_file(folder / "images.safetensors")
    pool = Pool(sampled["images"], sampled["labels"])
    pixels, labels = select_set(nets, real, pool)
    show("selected", nets, real, pixels, labels)
    for name in names or VARIANTS:
        torch.manual_seed(0)
        refinement = Refinement(nets, real, pixels, labels, 0, VARIANTS[name])
        for _ in range(VISITS):
            refinement.visit(VISITS)
        show(name, nets, real, refinement.pixels(), labels)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
