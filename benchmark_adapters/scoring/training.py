"""Trains a student on a distilled set by a recipe, and scores it on real test images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters.scoring import dsa
from benchmark_adapters.scoring.cpu import fused as fast
from benchmark_adapters.scoring.recipes import RECIPES
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation, Recipe

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

TEST_BATCH = 1000  # images that are tested at once where a student doesn't take them in pieces
Augment = Callable[[Tensor], Tensor]
Report = Callable[[int, int], None]
Gradients = Callable[[Tensor, Tensor], Tensor]


def normalise(images: Array, dataset: Dataset) -> Tensor:
    """uint8 [N, C, H, W] to float32 with the dataset's mean and standard deviation."""
    return Normalised.of(np.ascontiguousarray(images), dataset.mean, dataset.std)[:]


class Normalised:
    """uint8 images that are normalised when they are asked for, so that a large set takes a quarter of the memory.

    Indexing gives float32 [n, C, H, W] on the images' device.
    """

    def __init__(self, pixels: Tensor, mean: Tensor, std: Tensor) -> None:
        self.pixels, self.mean, self.std = pixels, mean, std

    @classmethod
    def of(cls, images: Array, mean: Sequence[float], std: Sequence[float]) -> Normalised:
        """``images`` uint8 [N, C, H, W]; mean and deviation per channel, for pixels in [0, 1]."""
        return cls(
            torch.from_numpy(images),
            *(torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std)),
        )

    def to(self, device: str | torch.device) -> Normalised:
        return Normalised(self.pixels.to(device), self.mean.to(device), self.std.to(device))

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        return (self.pixels[index].float() / 255 - self.mean) / self.std


Images = Tensor | Normalised


def images_of(distilled: DistilledSet, normalisation: Normalisation) -> Images:
    """The images of a set with ``normalisation``; those of float sets are normalised anew where they have another."""
    if distilled.normalisation is None:
        return Normalised.of(distilled.images, *normalisation)
    images = torch.from_numpy(distilled.images)
    if distilled.normalisation == normalisation:
        return images
    (old_mean, old_std), (mean, std) = (
        [torch.tensor(values).view(1, -1, 1, 1) for values in pair]
        for pair in (distilled.normalisation, normalisation)
    )
    return (images * old_std + old_mean - mean) / std


def train(
    student: nn.Module,
    images: Images,
    labels: Tensor,
    recipe: Recipe | str,
    seed: int,
    device: str = "cpu",
    epochs: int | None = None,
    augment: bool = True,
    report: Report | None = None,
) -> list[float]:
    """Trains ``student`` in place and returns the mean loss of each epoch.

    Random numbers are drawn in the official evaluator's order (its DataLoader's, then DSA's); one-cycle recipes have an
    order of their own.

    Args:
        images: float32 [N, C, H, W], normalised; or `Normalised`.
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
    student.to(device).to(memory_format=torch.channels_last).train()
    images, labels = images.to(device), labels.to(device)
    change = AUGMENTATIONS[recipe.augment if augment else "none"]
    schedule = _one_cycle if recipe.schedule == "one-cycle" else _by_epochs
    with torch.random.fork_rng(), fast.exact():
        torch.manual_seed(seed)
        return schedule(student, images, labels, recipe, epochs, change, report or _silent)


@torch.inference_mode()
def predict(student: nn.Module, images: Images) -> Tensor:
    """The class of each image, int64 [N], on the CPU; ``images`` as in `train`."""
    student.eval()
    device = next(student.parameters()).device
    size = fast.piece(student, device) or TEST_BATCH
    with fast.exact():
        return torch.cat(
            [
                student(images[start : start + size].to(device)).argmax(1)
                for start in range(0, len(images), size)
            ]
        ).cpu()


def accuracy(student: nn.Module, images: Images, labels: Tensor) -> float:
    """The fraction of images whose class is right."""
    return (predict(student, images) == labels.cpu()).float().mean().item()


def _one_cycle(
    student: nn.Module,
    images: Images,
    labels: Tensor,
    recipe: Recipe,
    epochs: int | None,
    change: Augment,
    report: Report,
) -> list[float]:
    """``recipe.steps`` steps; the learning rate rises to ``recipe.lr`` and falls to nothing (Smith & Topin, arXiv 1708.07120)."""
    # Batches of equal size, so that no step rests on the few images that a last one would hold.
    per_epoch = math.ceil(len(images) / recipe.batch_size)
    steps = epochs * per_epoch if epochs is not None else recipe.steps or 0
    optimizer = _sgd(student, recipe, recipe.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=max(steps, 1))
    gradients = fast.gradients(
        student, labels.device, min(recipe.batch_size, len(images)), steps * recipe.batch_size
    )
    losses: list[float] = []
    done = 0
    while done < steps:
        batches = torch.randperm(len(images)).tensor_split(per_epoch)[: steps - done]
        sums = torch.zeros((), device=labels.device)
        for batch in batches:
            sums += _step(gradients, optimizer, change(images[batch]), labels[batch]) * len(batch)
            schedule.step()
            done += 1
            report(done, steps)
        losses.append(sums.item() / sum(map(len, batches)))
    return losses


def _by_epochs(
    student: nn.Module,
    images: Images,
    labels: Tensor,
    recipe: Recipe,
    epochs: int | None,
    change: Augment,
    report: Report,
) -> list[float]:
    """Whole epochs and one drop of the rate, as `Recipe.schedule` tells; losses are read once an epoch."""
    argument = (recipe.epochs if epochs is None else epochs) or 0
    rebuilds = recipe.schedule == "rebuild-halfway"
    count, last_fast = (
        (argument + 1, argument // 2 + 1) if rebuilds else (argument, argument // 2 - 1)
    )
    optimizer = _sgd(student, recipe, recipe.lr)
    gradients = fast.gradients(
        student, labels.device, min(recipe.batch_size, len(images)), count * len(images)
    )
    losses: list[float] = []
    for epoch in range(count):
        sums = torch.zeros((), device=labels.device)
        for batch in _order(len(images)).to(labels.device).split(recipe.batch_size):
            sums += _step(gradients, optimizer, change(images[batch]), labels[batch]) * len(batch)
        losses.append(sums.item() / len(images))
        if epoch == last_fast:
            if rebuilds:
                optimizer = _sgd(student, recipe, recipe.lr * 0.1)
            else:
                optimizer.param_groups[0]["lr"] *= 0.1
        report(epoch + 1, count)
    return losses


def _order(count: int) -> Tensor:
    """A permutation by the draws that a shuffling DataLoader makes for an epoch: the seed of its workers, then that of its order."""
    torch.empty((), dtype=torch.int64).random_()
    seed = torch.empty((), dtype=torch.int64).random_().item()
    return torch.randperm(count, generator=torch.Generator().manual_seed(int(seed)))


def _step(
    gradients: Gradients, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    optimizer.zero_grad()
    loss = gradients(images, labels)
    optimizer.step()
    return loss


def _sgd(student: nn.Module, recipe: Recipe, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        student.parameters(), lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )


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


AUGMENTATIONS: dict[str, Augment] = {
    "none": lambda images: images,
    "shift": shift,
    "dsa": dsa.augment,
    "dsa-aligned": partial(dsa.augment, align_corners=True),
}
