"""Refine the images of a set by gradient descent on the regression's loss.

Refinement is a series of visits. A visit picks a few of the networks and trains each for some steps
on the current set. Their features then guide some steps of the images. A network that has had
enough steps is replaced by a new one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark_adapters.students import ConvNet
from gdd_plugin.improvement import networks, regression
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.real_images import RealImages

FIRST_SEED = 20_000
# Learning rate of noise, whose variance is 1.
LATENTS_LR = 0.05
# Visits before the learning rate decays. Their speed decides how many follow.
TRIAL_VISITS = 6


@dataclass(frozen=True)
class RefineSettings:
    """How a set is refined. Choices were made on held-out training images (docs/experiments.md).

    Attributes:
        lr: learning rate of the images, of Adam, after a warm-up and before the cosine.
        ridge: regularisation of the regression.
        pool: networks that live at the same time.
        together: networks whose gradients are averaged in each step of the images.
        life: steps after which a network is replaced.
        network_steps: steps of each network in a visit.
        network_lr: their learning rate.
        image_steps: steps of the images in a visit.
        real: real images in the loss of a step.
        clean: whether the images also take part as they are.
        draws: augmented versions of each image in a step.
        averaging: decay of the moving average of the images, per step.
        candidates: last states of the set that are compared at the end; 1: the last is kept.
    """

    lr: float = 0.015
    ridge: float = 0.1
    pool: int = 12
    together: int = 2
    life: int = 90
    network_steps: int = 5
    network_lr: float = 0.05
    image_steps: int = 5
    real: int = 1000
    clean: bool = True
    draws: int = 1
    averaging: float = 0.98
    candidates: int = 2
    final_lr: float = 0.05
    betas: tuple[float, float] = (0.5, 0.97)
    warm_up: int = 20
    scale_lr: float = 0.02
    first_scale: float = 11.0


# Image counts up to which a step uses more versions of each image, from which it uses fewer, and
# from which steps are so slow that they are worth more real images and better networks.
SMALL, LARGE, HUGE = 20, 250, 2500


def settings_for(refine: str, images: int, compiled: bool) -> RefineSettings:
    """Return the settings for the value of the option ``refine``.

    Args:
        refine: ``pixels`` or ``latents``.
        images: number of images in the set.
        compiled: whether the networks are compiled.
    """
    settings = RefineSettings()
    if images <= SMALL:
        settings = replace(settings, draws=5)
    if images >= LARGE:
        settings = replace(settings, clean=False, lr=0.02)
    if images >= LARGE and compiled:
        # Few networks that learn slowly and for long, as students do, guide large sets better.
        settings = replace(settings, network_lr=0.01, life=300, pool=6, network_steps=8)
    if images >= HUGE and compiled:
        settings = replace(settings, pool=4, network_steps=30, real=5000, candidates=1)
    if not compiled:
        # Larger steps, because the time suffices for few, and for no choice.
        settings = replace(settings, lr=0.03, warm_up=5, real=400, candidates=1)
    if refine == "latents":
        settings = replace(settings, lr=LATENTS_LR)
    return settings


class Parameters(Protocol):
    """What the images of a set are computed from: a `Pyramid` or `Noise`."""

    tensors: list[Tensor]

    def render(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return normalised images [n, C, S, S]; differentiable."""

    def project(self, tensors: Sequence[Tensor]) -> None:
        """Move parameters into their range, in place."""


class Member:
    """One of the networks that are in use, and its optimizer.

    Attributes:
        age: steps that it was trained for.
        life: age at which it is replaced.
    """

    def __init__(self, nets: Networks, seed: int, lr: float, life: int) -> None:
        self.net = nets.build(seed)
        self.optimizer = networks.sgd(self.net, lr)
        self.age, self.life = 0, life


@dataclass
class Guide:
    """A network that guides some steps of the images.

    Attributes:
        net: its weights are constant.
        real: features of real images, float32 [m, d].
        labels: their labels, int64 [m].
    """

    net: ConvNet
    real: Tensor
    labels: Tensor


class Refinement:
    """A set that is being refined.

    Attributes:
        steps: steps of the images so far.
        lives: networks that were replaced so far.
        network_step_seconds: seconds of the last visit for a step of all its networks.
    """

    def __init__(
        self,
        nets: Networks,
        real: RealImages,
        parameters: Parameters,
        labels: Tensor,
        seed: int,
        settings: RefineSettings,
    ) -> None:
        """Start from a set.

        Args:
            nets: builds networks for the dataset.
            real: the real images.
            parameters: the parameters of the set's images.
            labels: int64 [n].
            seed: determines the networks and the draws of real images. Augmentation draws from
                torch's global generator.
            settings: how to refine.
        """
        self.nets, self.real, self.settings = nets, real, settings
        self.labels = labels.to(real.device)
        self.num_classes = int(labels.max()) + 1
        self.rng = np.random.default_rng([seed, FIRST_SEED])
        self.parameters = parameters
        chosen = self.settings
        self.optimizer = torch.optim.Adam(parameters.tensors, chosen.lr, betas=chosen.betas)
        self.scale = torch.tensor(math.log(chosen.first_scale), device=real.device)
        self.scale.requires_grad_()
        self.scale_optimizer = torch.optim.Adam([self.scale], chosen.scale_lr)
        self.average = [tensor.detach().clone() for tensor in parameters.tensors]
        self.steps = self.lives = 0
        self.network_step_seconds = 0.0
        # First lives end one after another, so that networks of all ages live together.
        self.members = [
            self._member(max(chosen.network_steps, chosen.life * (number + 1) // chosen.pool))
            for number in range(chosen.pool)
        ]

    def _member(self, life: int) -> Member:
        return Member(self.nets, int(self.rng.integers(2**31)), self.settings.network_lr, life)

    @property
    def visits(self) -> int:
        """Return the number of visits so far."""
        return self.steps // self.settings.image_steps

    def visit(self, total: int | None) -> None:
        """Train some networks, then make steps of the images.

        ``total`` visits are planned; None: not known yet, in the first `TRIAL_VISITS`.
        """
        chosen = self._choose()
        images = self._render(self.parameters.tensors)
        batches = [self._batches(images) for _ in chosen]
        drawn = [self.real.draw(self.settings.real, self.rng) for _ in chosen]
        start = time.monotonic()
        self.nets.map(self._train, chosen, batches)
        self.network_step_seconds = (time.monotonic() - start) / self.settings.network_steps
        guides = self.nets.map(self._guide, chosen, *zip(*drawn, strict=True))
        for _ in range(self.settings.image_steps):
            self._set_rate(total)
            self._step(guides)

    def _choose(self) -> list[Member]:
        """Return the networks of the next visit; replace those whose life is over."""
        chosen = []
        for index in self.rng.choice(len(self.members), self.settings.together, replace=False):
            if self.members[index].age >= self.members[index].life:
                self.members[index] = self._member(self.settings.life)
                self.lives += 1
            chosen.append(self.members[index])
        return chosen

    def _batches(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return augmented images of the set, and their labels, for the steps of a network.

        They are drawn at random, as many as the recipe's batches have.
        """
        batches = []
        for _ in range(self.settings.network_steps):
            rows = torch.from_numpy(
                self.rng.permutation(len(images))[: self.nets.recipe.batch_size]
            )
            batches.append((self.nets.augment(images[rows]), self.labels[rows]))
        return batches

    def _train(self, member: Member, batches: list[tuple[Tensor, Tensor]]) -> None:
        self.nets.train(member.net, member.optimizer, batches)
        member.age += len(batches)

    def _guide(self, member: Member, real: Tensor, labels: Tensor) -> Guide:
        net = networks.frozen(member.net)
        return Guide(net, self.nets.constant_features(net, real), labels)

    def _set_rate(self, total: int | None) -> None:
        """Set the learning rate of the next step: a warm-up, and a cosine after the trials."""
        settings = self.settings
        trials = TRIAL_VISITS * settings.image_steps
        decaying = max(1, (total or 0) * settings.image_steps - trials)
        progress = min(1.0, max(0, self.steps - trials) / decaying)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        rate = settings.lr * (settings.final_lr + (1 - settings.final_lr) * cosine)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (self.steps + 1) / settings.warm_up)

    def _step(self, guides: list[Guide]) -> None:
        """Make one step of the images along the mean gradient of the networks' losses."""
        images = self.parameters.render(self.parameters.tensors)
        inputs = [self._versions(images) for _ in guides]
        leaves = [images.detach().requires_grad_() for images in inputs]
        scales = [self.scale.detach().clone().requires_grad_() for _ in guides]
        keeps_activations = self.nets.has_memory_for_activations(leaves[0])
        self.nets.map(self._add_gradient, guides, leaves, scales, [keeps_activations] * len(guides))
        self.optimizer.zero_grad()
        share = 1 / len(guides)
        gradients = [share * leaf.grad for leaf in leaves if leaf.grad is not None]
        torch.autograd.backward(inputs, gradients)
        self.optimizer.step()
        self.scale.grad = share * torch.stack([s.grad for s in scales if s.grad is not None]).sum()
        self.scale_optimizer.step()
        self.parameters.project(self.parameters.tensors)
        decay = min(self.settings.averaging, (1 + self.steps) / (10 + self.steps))
        for average, tensor in zip(self.average, self.parameters.tensors, strict=True):
            average.lerp_(tensor.detach(), 1 - decay)
        self.steps += 1

    def _versions(self, images: Tensor) -> Tensor:
        """Return the images as they are, and as a recipe's augmentation changes them."""
        if self.nets.recipe.augment == "none":
            return images
        augmented = [self.nets.augment(images) for _ in range(self.settings.draws)]
        return torch.cat([images, *augmented] if self.settings.clean else augmented)

    def _add_gradient(
        self, guide: Guide, images: Tensor, scale: Tensor, keeps_activations: bool
    ) -> None:
        """Add the gradients of one network's loss to those of ``images`` and ``scale``.

        Activations that are not kept are computed a second time, part by part, so that memory does
        not grow with the set. The gradients are the same up to rounding.
        """
        copies = len(images) // len(self.labels)
        targets = regression.targets(self.labels, self.num_classes).repeat(copies, 1)
        with torch.enable_grad():
            if keeps_activations:
                features = self.nets.features(guide.net, images)
            else:
                features = self.nets.constant_features(guide.net, images.detach())
                features.requires_grad_()
            predicted = regression.predict(features, targets, guide.real, self.settings.ridge)
            F.cross_entropy(predicted * scale.exp(), guide.labels).backward()
            if not keeps_activations:
                assert features.grad is not None
                self.nets.add_gradient(guide.net, images, features.grad)

    def pixels(self) -> Tensor:
        """Return the moving average of the set, uint8 [n, C, S, S] on the CPU."""
        average = [tensor.clone() for tensor in self.average]
        # An average of noise has a smaller norm than noise.
        self.parameters.project(average)
        return self.real.to_pixels(self._render(average))

    @torch.no_grad()
    def _render(self, tensors: Sequence[Tensor]) -> Tensor:
        return self.parameters.render(tensors)
