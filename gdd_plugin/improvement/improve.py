"""Turn a pool of sampled images into a better set, step by step, within the time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from benchmark_adapters.baselines.coreset import nearest_to_centres
from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Replacement, Task
from gdd_plugin.improvement import choose, select
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.real_images import RealImages
from gdd_plugin.improvement.refine import TRIAL_VISITS, Refinement
from gdd_plugin.improvement.work import Work

if TYPE_CHECKING:
    from benchmark_adapters.types import Batch

# Seconds that are left over at the end, for writing the set.
RESERVE = 5.0
# Time limit from which networks are compiled: that takes up to a minute, and halves their time.
MIN_COMPILED_LIMIT = 300.0
# Share of the remaining time that selection may take if refinement follows.
SELECT_SHARE = 0.2
# Shares of the visits after which a state of the set is kept. The choice at the end is between the
# last ones.
STATES = (0.1, 0.25, 0.5, 0.75, 1.0)
CANDIDATES = 2
UNPLANNED = 10**6
# Visits that take about as long as the choice.
CHOICE_VISITS = 13
# Share of the time that is planned, because machines slow down.
SAFE_SHARE = 0.95


@dataclass(frozen=True)
class Pool:
    """Sampled images to select from: pixels uint8 [n, C, S, S] and labels int64 [n]."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def of(cls, batches: Sequence[Batch], num_classes: int) -> Pool:
        """Return the images of batches, as many of each class as the smallest class has."""
        pixels = torch.cat([torch.as_tensor(batch[0]) for batch in batches])
        labels = torch.cat([torch.as_tensor(batch[1]) for batch in batches])
        smallest = int(torch.bincount(labels, minlength=num_classes).min())
        all_images = cls(pixels, labels)
        kept = all_images.first(smallest, num_classes)
        return cls(pixels[kept], labels[kept])

    def per_class(self, num_classes: int) -> int:
        """Return the number of images of each class."""
        return len(self.labels) // num_classes

    def first(self, ipc: int, num_classes: int) -> list[int]:
        """Return the indices of the first ``ipc`` images of each class."""
        return [
            int(index)
            for label in range(num_classes)
            for index in torch.where(self.labels == label)[0][:ipc]
        ]

    def replacement(self, indices: list[int]) -> Replacement:
        """Return the set of these images."""
        return Replacement(self.pixels[indices], self.labels[indices])


class Improver:
    """The phases after sampling: selection and refinement."""

    def __init__(self, task: Task, budget: Budget, work: Work) -> None:
        """Read the real images.

        Raises:
            UserError: the track does not allow real training images, or they are missing.
        """
        self.task, self.budget, self.work = task, budget, work
        self.real = RealImages.of(task)
        # By the limit and not by the time that is left, so that every run of a track does the same.
        compiles = task.device != "mps" and budget.limit >= MIN_COMPILED_LIMIT
        self.nets = Networks(task, compiles)
        # Augmentation draws from the global generator. This process has no other use for it.
        torch.manual_seed(task.seed)

    def improve(self, pool: Pool) -> Iterator[Replacement]:
        """Yield better and better sets."""
        assert self.task.ipc
        selected = pool.first(self.task.ipc, self.task.dataset.num_classes)
        for better in self._select(pool, selected):
            yield pool.replacement(better)
            selected = better
        if self.work.refine == "pixels":
            yield from self._refine(pool.pixels[selected], pool.labels[selected])

    def _select(self, pool: Pool, selected: list[int]) -> Iterator[list[int]]:
        """Yield the indices of better and better sets."""
        if self.work.select == "kmeans":
            yield self._cluster(pool)
        if self.work.select != "regression":
            return
        share = SELECT_SHARE if self.work.refine != "none" else 1.0
        end = time.monotonic() + share * (self.budget.remaining() - RESERVE)
        self.task.progress("selecting", 0, self.work.sweeps)
        kernels = select.kernels(self.nets, self.real, pool.pixels, pool.labels, self.task.seed)
        fixed = self.work.sweeps

        def is_over() -> bool:
            return fixed is None and time.monotonic() > end

        sweeps = 0
        for better in select.exchange(kernels, selected, self.task.seed, is_over):
            yield better
            sweeps += 1
            self.task.progress("selecting", sweeps, fixed)
            if sweeps == fixed:
                break
        self.task.report(sweeps=str(sweeps))

    def _cluster(self, pool: Pool) -> list[int]:
        """Return the images nearest to the k-means centres of each class, in feature space."""
        assert self.task.ipc
        net = select.trained_network(self.nets, self.real, self.task.seed)
        features = self.nets.constant_features(net, self.real.normalise(pool.pixels)).cpu().numpy()
        selected: list[int] = []
        for label in range(self.task.dataset.num_classes):
            members = np.flatnonzero(pool.labels.numpy() == label)
            chosen = nearest_to_centres(features[members], self.task.ipc, self.task.seed)
            selected += members[chosen].tolist()
        return selected

    def _refine(self, pixels: Tensor, labels: Tensor) -> Iterator[Replacement]:
        """Yield states of the set while its pixels are refined, and at the end the best of them."""
        refinement = Refinement(self.nets, self.real, pixels, labels, self.task.seed)
        is_sampled = torch.zeros(len(labels), dtype=torch.bool)
        states: list[Tensor] = []
        for total in self._visits():
            self.task.progress("refining", refinement.visits, total)
            refinement.visit(total)
            done = refinement.visits
            if total and done in {max(1, round(share * total)) for share in STATES}:
                states.append(refinement.pixels())
                yield Replacement(states[-1], labels, is_sampled)
        self.task.report(
            refinement_steps=refinement.steps, networks=refinement.lives + len(refinement.members)
        )
        if len(states) > 1:
            yield Replacement(self._best(states[-CANDIDATES:], labels), labels, is_sampled)

    def _visits(self) -> Iterator[int | None]:
        """Yield the number of planned visits, None while it is unknown, before each visit."""
        total, done, start = self.work.visits, 0, time.monotonic()
        last = self.work.last_visit
        while total is None or done < total:
            if done == last or self.budget.remaining() < RESERVE:
                break
            # The first visit compiles, so it says nothing about the speed.
            start = time.monotonic() if done == 1 else start
            if total is None and done == TRIAL_VISITS:
                seconds = (time.monotonic() - start) / (done - 1)
                time_left = SAFE_SHARE * (self.budget.remaining() - RESERVE)
                affordable = int(time_left / seconds) - CHOICE_VISITS
                total = done + max(1, affordable)
            yield total
            done += 1
        # Without a plan the learning rate did not fall, as if very many visits were planned.
        self.task.report(visits=str(total) if done == total else f"{done}/{total or UNPLANNED}")

    def _best(self, states: list[Tensor], labels: Tensor) -> Tensor:
        """Return the state that teaches fresh networks most about held-out real images."""
        self.task.progress("choosing", 0, None)
        accuracies = choose.accuracies(self.nets, self.real, states, labels)
        scores = [fmean(values) for values in accuracies]
        best = scores.index(max(scores))
        self.task.report(
            held_out_accuracies=[round(score, 4) for score in scores],
            state=f"{best + 1} of {len(states)}",
        )
        return states[best]
