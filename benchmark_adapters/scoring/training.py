"""Train a student with a recipe and test it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters.scoring import backends, dsa, precision
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.scoring.backends import TrainingBackend
from benchmark_adapters.scoring.images import Images
from benchmark_adapters.scoring.images import Normalised as Normalised
from benchmark_adapters.scoring.images import normalise as normalise
from benchmark_adapters.scoring.recipes import RECIPES
from benchmark_adapters.types import Recipe

Augment = Callable[[Tensor], Tensor]
Report = Callable[[int, int], object]


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
    backend: Backend | TrainingBackend = "auto",
) -> list[float]:
    """Train ``student`` in place and return the mean loss of each epoch.

    Random numbers are drawn in the official evaluator's order: first its DataLoader's, then DSA's.
    One-cycle recipes draw in their own order. torch's global generator is restored afterwards.

    Args:
        student: maps float32 [n, C, H, W] to logits [n, classes].
        images: float32 [N, C, H, W], normalised; or `Normalised`.
        labels: int64 [N].
        recipe: a `Recipe`, or the name of a built-in one.
        seed: determines the order of the images and the augmentation.
        device: a torch device name.
        epochs: overrides the recipe's length with the official evaluator's epoch argument E.
            Recipes that reset the optimizer run E + 1 epochs and drop the learning rate after
            epoch index E // 2 + 1. Other step recipes run E epochs and drop it after index
            E // 2 - 1. One-cycle recipes pass over the images E times.
        augment: False disables the recipe's augmentation.
        report: called with (done, total), in steps for one-cycle recipes and epochs for others.
        backend: a name, or the result of `plan_backend` for these arguments, which then records
            the backend that was used.

    Returns:
        The mean loss of each epoch.

    Raises:
        ValueError: ``recipe`` is not the name of a built-in recipe.
    """
    recipe = _with_length(_find_recipe(recipe), epochs, len(images))
    if not isinstance(backend, TrainingBackend):
        backend = plan_backend(student, len(images), recipe, device, backend)
    student.to(device).to(memory_format=backend.memory_format).train()
    schedule = _train_one_cycle if recipe.schedule == "one-cycle" else _train_epochs
    training = _Training(
        student,
        images.to(device),
        labels.to(device),
        recipe,
        AUGMENTATIONS[recipe.augment if augment else "none"],
        backend,
        report or (lambda done, total: None),
    )
    with seeded(seed, device), precision.repeatable(recipe.tf32_convolutions):
        return schedule(training)


def plan_backend(
    student: nn.Module,
    num_images: int,
    recipe: Recipe,
    device: str = "cpu",
    requested: Backend = "auto",
) -> TrainingBackend:
    """Choose the backend for training one student.

    Args:
        student: the network to train.
        num_images: number of training images.
        recipe: the recipe to train with.
        device: a torch device name.
        requested: the backend that the user requested.

    Returns:
        The backend, to be passed to `train`, which records in it the backend that was used.
    """
    return TrainingBackend(
        student,
        torch.device(device),
        min(recipe.batch_size, num_images),
        recipe.image_passes(num_images),
        requested,
        recipe.tf32_convolutions,
    )


@torch.inference_mode()
def predict(
    student: nn.Module, images: Images, backend: Backend = "auto", tf32: bool = False
) -> Tensor:
    """Return the predicted class of each image, int64 [N] on the CPU.

    ``images`` are the same as for `train`. ``tf32`` is the recipe's ``tf32_convolutions``.
    """
    student.eval()
    device = next(student.parameters()).device
    size = backends.inference_batch_size(student, device, backend)
    with precision.repeatable(tf32):
        batches = [
            student(images[start : start + size].to(device)).argmax(1)
            for start in range(0, len(images), size)
        ]
        return torch.cat(batches).cpu()


def accuracy(student: nn.Module, images: Images, labels: Tensor) -> float:
    """Return the fraction of correctly classified images; ``labels`` are int64 [N]."""
    return (predict(student, images) == labels.cpu()).float().mean().item()


@contextlib.contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Seed torch's global generators of the CPU and of ``device``, and restore them at the end.

    Other devices are not touched. By default, torch would initialise and seed every GPU.
    """
    chosen = torch.device(device)
    forked = []
    if chosen.type == "cuda":
        forked = [torch.cuda.current_device() if chosen.index is None else chosen.index]
    with torch.random.fork_rng(devices=forked):
        torch.default_generator.manual_seed(seed)
        for index in forked:
            torch.cuda.default_generators[index].manual_seed(seed)
        if chosen.type == "mps":
            # Its state is not restored: torch can't fork it.
            torch.mps.manual_seed(seed)
        yield


@dataclass(frozen=True)
class _Training:
    """Everything needed to train one student, with the images already on its device."""

    student: nn.Module
    images: Images
    labels: Tensor
    recipe: Recipe
    augment: Augment
    backend: TrainingBackend
    report: Report

    def step(self, optimizer: torch.optim.Optimizer, batch: Tensor) -> Tensor:
        """Take one step on the images at the indices ``batch``; return the sum of their losses."""
        images, labels = self.augment(self.images[batch]), self.labels[batch]
        optimizer.zero_grad()
        loss = self.backend.add_gradients(self.student, images, labels)
        optimizer.step()
        return loss * len(batch)

    def sgd(self, lr: float) -> torch.optim.Optimizer:
        """Return a new optimizer with learning rate ``lr``."""
        return torch.optim.SGD(
            self.student.parameters(),
            lr,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
        )


def _train_one_cycle(training: _Training) -> list[float]:
    """Train for ``recipe.steps`` steps."""
    recipe, count = training.recipe, len(training.images)
    # Batches have almost equal sizes. A short last batch would make its step noisier.
    batches_per_epoch = math.ceil(count / recipe.batch_size)
    steps = recipe.steps or 0
    optimizer = training.sgd(recipe.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=max(steps, 1))
    losses: list[float] = []
    done = 0
    while done < steps:
        batches = torch.randperm(count).tensor_split(batches_per_epoch)[: steps - done]
        total = torch.zeros((), device=training.labels.device)
        for batch in batches:
            total += training.step(optimizer, batch)
            schedule.step()
            done += 1
            training.report(done, steps)
        losses.append(total.item() / sum(map(len, batches)))
    return losses


def _train_epochs(training: _Training) -> list[float]:
    """Train for ``recipe.epochs`` epochs, dropping the learning rate once."""
    recipe, device = training.recipe, training.labels.device
    epochs = recipe.epochs or 0
    optimizer = training.sgd(recipe.lr)
    losses: list[float] = []
    for epoch in range(epochs):
        total = torch.zeros((), device=device)
        for batch in _shuffled(len(training.images)).to(device).split(recipe.batch_size):
            total += training.step(optimizer, batch)
        # The loss is read only once per epoch, because reading it waits for the device.
        losses.append(total.item() / len(training.images))
        if epoch == recipe.lr_drop_after:
            if recipe.reset_optimizer:
                optimizer = training.sgd(recipe.lr * 0.1)
            else:
                optimizer.param_groups[0]["lr"] *= 0.1
        training.report(epoch + 1, epochs)
    return losses


def _find_recipe(recipe: Recipe | str) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe {recipe!r}; known: {', '.join(RECIPES)}")
    return RECIPES[recipe]


def _with_length(recipe: Recipe, epochs: int | None, num_images: int) -> Recipe:
    """Return the recipe with its length changed by ``epochs``, as described in `train`.

    A step recipe with a number of steps gets the epochs that have them.
    """
    if epochs is None and recipe.schedule == "step" and recipe.steps is not None:
        epochs = recipe.epochs_for(num_images) - recipe.reset_optimizer
    if epochs is None:
        return recipe
    if recipe.schedule == "one-cycle":
        return replace(recipe, steps=epochs * math.ceil(num_images / recipe.batch_size))
    count, drop = epochs, epochs // 2 - 1
    if recipe.reset_optimizer:
        count, drop = epochs + 1, epochs // 2 + 1
    drop_after = drop if 0 <= drop < count else None
    return replace(recipe, steps=None, epochs=count, lr_drop_after=drop_after)


def _shuffled(count: int) -> Tensor:
    """Return a permutation, drawn as a shuffling DataLoader draws it for one epoch.

    The DataLoader first draws a seed for its workers, then one for the order of the images.
    """
    torch.empty((), dtype=torch.int64).random_()
    seed = torch.empty((), dtype=torch.int64).random_().item()
    return torch.randperm(count, generator=torch.Generator().manual_seed(int(seed)))


def shift(images: Tensor, max_pixels: int = 2) -> Tensor:
    """Shift each image by up to ``max_pixels`` along both axes, repeating its edge pixels.

    ``images`` are float [n, C, H, W]. The result has the same shape.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (max_pixels,) * 4, mode="replicate")
    down, right = (
        torch.randint(2 * max_pixels + 1, (count, 1), device=images.device) for _ in range(2)
    )
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width, device=images.device)
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


AUGMENTATIONS: dict[str, Augment] = {
    "none": lambda images: images,
    "shift": shift,
    "dsa": dsa.augment,
    "dsa-aligned": partial(dsa.augment, align_corners=True),
}
