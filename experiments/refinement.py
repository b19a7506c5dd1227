"""Try settings of the selection and the refinement, for the tables in experiments.md.

    python experiments/refinement.py POOL --ipc 10 --visits 40 --set lr=0.02

POOL is the folder of a run with sampled images of Fashion-MNIST, 20 times as many per class as the
IPC, but at least 600 and at most 3,000, from `ddbench run --method generative-turbo --track
fashion-mnist --ipc 1000 --repeats 0 --option preset=sampled`. A set is selected from it, and
refined with the given settings, which change those of the method. The row that is printed has the
mean held-out accuracy of networks trained on the set, and its standard error. The whole of
Fashion-MNIST must be installed.
"""

import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import click
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring.recipes import DSA
from benchmark_adapters.types import Task
from gdd_plugin.improvement import choose, select
from gdd_plugin.improvement.exchange import exchange
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.pool import Pool
from gdd_plugin.improvement.pyramid import Pyramid
from gdd_plugin.improvement.real_images import RealImages
from gdd_plugin.improvement.refine import Refinement, RefineSettings, settings_for
from gdd_plugin.improvement.work import Work
from gdd_plugin.method import pool_size

WORK = Work("regression", "pixels")
SWEEPS, FIRST_SEED, HELD_OUT = 4, 40_000, 5000
# Learning rates of the networks that test a set, and steps with each. The slow ones are dsa/1's.
RATES = {"fast": ((0.05, 100), (0.005, 100)), "slow": ((0.01, 500), (0.001, 150))}


def make_task(ipc: int) -> Task:
    """Return a task of the track fashion-mnist."""
    return Task(
        "fashion-mnist",
        FASHION_MNIST,
        seed=0,
        device="cpu",
        ipc=ipc,
        options={},
        training_images=lambda: datasets.load(FASHION_MNIST, "train"),
        ready=lambda **values: None,
        recipe=DSA,
    )


def read_pool(folder: Path, per_class: int) -> Pool:
    """Return the first images of each class of a run."""
    sampled = load_file(folder / "images.safetensors")
    images, labels = sampled["images"], sampled["labels"]
    rows = torch.cat([torch.where(labels == label)[0][:per_class] for label in range(10)])
    return Pool.of([(images[rows], labels[rows])], FASHION_MNIST.num_classes)


def select_set(nets: Networks, real: RealImages, pool: Pool, ipc: int) -> tuple[Tensor, Tensor]:
    """Return images and labels of a set that regression selects from the pool."""
    features = select.pool_features(nets, real, pool.pixels, pool.labels, seed=0)
    selected = pool.first(ipc)
    sweeps = exchange(features, selected, 0, lambda: False)
    for _, better in zip(range(SWEEPS), sweeps, strict=False):
        selected = better
    return pool.pixels[selected], pool.labels[selected]


def parse_settings(settings: RefineSettings, texts: tuple[str, ...]) -> RefineSettings:
    """Return settings changed by NAME=VALUE texts."""
    for text in texts:
        name, _, value = text.partition("=")
        kind = type(getattr(settings, name))
        settings = replace(settings, **{name: kind(float(value))})
    return settings


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--ipc", default=10)
@click.option("--visits", default=40, help="0 shows the selected set.")
@click.option("--networks", default=4, help="Networks that test the set.")
@click.option("--test", default="fast", type=click.Choice(list(RATES)), show_default=True)
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE")
def main(
    folder: Path, ipc: int, visits: int, networks: int, test: str, changes: tuple[str, ...]
) -> None:
    """Print a row for one group of settings."""
    torch.manual_seed(0)
    nets, real = Networks(task := make_task(ipc), compiled=True), RealImages.of(task)
    pool = read_pool(folder, pool_size(WORK, ipc))
    pixels, labels = select_set(nets, real, pool, ipc)
    torch.manual_seed(0)
    pyramid = Pyramid(real.normalise(pixels), real.clamp)
    settings = parse_settings(settings_for("pixels", len(labels), compiled=True), changes)
    refinement = Refinement(nets, real, pyramid, labels, 0, settings)
    start = time.process_time()
    for _ in range(visits):
        refinement.visit(visits)
    seconds = time.process_time() - start
    seeds = range(FIRST_SEED, FIRST_SEED + networks)
    (values,) = choose.accuracies(
        nets, real, [refinement.pixels()], labels, RATES[test], seeds, max_images=HELD_OUT
    )
    error = np.std(values, ddof=1) / len(values) ** 0.5
    name = " ".join(changes) or "defaults"
    accuracy = f"{100 * fmean(values):.1f} ± {100 * error:.1f}"
    print(f"| {ipc} | {name} | {refinement.steps} | {seconds:.0f} | {accuracy} |")


if __name__ == "__main__":
    main()
