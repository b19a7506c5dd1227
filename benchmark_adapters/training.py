"""Trains a student on a distilled set by a recipe, and scores it on real test images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters import dsa
from benchmark_adapters.recipes import RECIPES
from benchmark_adapters.types import Dataset, Recipe

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

TEST_BATCH = 100  # larger ones leave a CPU's caches and take longer
Augment = Callable[[Tensor], Tensor]
Report = Callable[[int, int], None]


def normalise(images: Array, dataset: Dataset) -> Tensor:
    """uint8 [N, C, H, W] to float32 with the dataset's mean and standard deviation."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (dataset.mean, dataset.std))
    return (torch.from_numpy(np.ascontiguousarray(images)).float() / 255 - mean) / std


def train(
    student: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe | str,
    seed: int,
    device: str = "cpu",
    epochs: int | None = None,
    augment: bool = True,
    report: Report | None = None,
) -> list[float]:
    """Trains ``student`` in place and returns the mean loss of each epoch.

    Args:
        images: float32 [N, C, H, W], normalised.
        labels: int64 [N].
        recipe: a `Recipe`, or the name of one that ships.
        seed: of the order of the images and of the augmentation; torch's global state is left as it was.
        epochs: overrides the recipe's epoch argument, or its number of steps by as many passes over the images.
        augment: False leaves the recipe's augmentation out.
        report: called with (done, total), in the recipe's unit of steps or epochs.

    Raises:
        ValueError: an unknown recipe.
    """
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(f"unknown recipe {recipe!r}; known: {', '.join(RECIPES)}")
        recipe = RECIPES[recipe]
    student.to(device).train()
    images, labels = images.to(device), labels.to(device)
    change = AUGMENTATIONS[recipe.augment if augment else "none"]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if recipe.schedule == "one-cycle":
            return _one_cycle(student, images, labels, recipe, epochs, change, report or _silent)
        return _rebuild_halfway(student, images, labels, recipe, epochs, change, report or _silent)


@torch.inference_mode()
def predict(student: nn.Module, images: Tensor) -> Tensor:
    """The class of each image, int64 [N], on the CPU; ``images`` as in `train`."""
    student.eval()
    device = next(student.parameters()).device
    return torch.cat([student(batch.to(device)).argmax(1).cpu() for batch in images.split(TEST_BATCH)])


def accuracy(student: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The fraction of images whose class is right."""
    return (predict(student, images) == labels.cpu()).float().mean().item()


def _one_cycle(student: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, epochs: int | None, change: Augment, report: Report) -> list[float]:
    """``recipe.steps`` steps; the learning rate rises to ``recipe.lr`` and falls to nothing (Smith & Topin, arXiv 1708.07120)."""
    # Batches of equal size, so that no step rests on the few images that a last one would hold.
    per_epoch = math.ceil(len(images) / recipe.batch_size)
    steps = epochs * per_epoch if epochs is not None else recipe.steps or 0
    optimizer = _sgd(student, recipe, recipe.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=max(steps, 1))
    losses: list[float] = []
    done = 0
    while done < steps:
        batches = torch.randperm(len(images)).tensor_split(per_epoch)[: steps - done]
        sums = torch.zeros((), device=images.device)
        for batch in batches:
            sums += _step(student, optimizer, change(images[batch]), labels[batch]) * len(batch)
            schedule.step()
            done += 1
            report(done, steps)
        losses.append(sums.item() / sum(map(len, batches)))
    return losses


def _rebuild_halfway(student: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, epochs: int | None, change: Augment, report: Report) -> list[float]:
    """The ECCV 2024 evaluator's loop: one epoch more than its argument, and one drop of the rate that forgets the momentum."""
    argument = (recipe.epochs if epochs is None else epochs) or 0
    lr = recipe.lr
    optimizer = _sgd(student, recipe, lr)
    losses: list[float] = []
    for epoch in range(argument + 1):
        sums = torch.zeros((), device=images.device)
        for batch in torch.randperm(len(images)).split(recipe.batch_size):
            sums += _step(student, optimizer, change(images[batch]), labels[batch]) * len(batch)
        losses.append(sums.item() / len(images))
        if epoch == argument // 2 + 1:
            lr *= 0.1
            optimizer = _sgd(student, recipe, lr)
        report(epoch + 1, argument + 1)
    return losses


def _step(student: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    loss = F.cross_entropy(student(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _sgd(student: nn.Module, recipe: Recipe, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(student.parameters(), lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def shift(images: Tensor, by: int = 2) -> Tensor:
    """Each image moved by up to ``by`` pixels along both axes, its edge repeated: float [n, C, H, W] to the same."""
    count, _, height, width = images.shape
    padded = F.pad(images, (by,) * 4, mode="replicate")
    down, right = (torch.randint(2 * by + 1, (count, 1), device=images.device) for _ in range(2))
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width, device=images.device)
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _silent(done: int, total: int) -> None:
    pass


AUGMENTATIONS: dict[str, Augment] = {"none": lambda images: images, "shift": shift, "dsa": dsa.augment}
