"""Turn a pool of sampled images into a better set, step by step, within the time limit."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from benchmark_adapters.baselines.coreset import nearest_to_centres
from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Replacement, Task
from gdd_plugin.generator import ImageGenerator, ImageKey
from gdd_plugin.improvement import choose, select
from gdd_plugin.improvement.exchange import exchange
from gdd_plugin.improvement.networks import Networks
from gdd_plugin.improvement.noise import Noise, renderer
from gdd_plugin.improvement.pool import Pool
from gdd_plugin.improvement.pyramid import Pyramid
from gdd_plugin.improvement.real_images import RealImages
from gdd_plugin.improvement.refine import TRIAL_VISITS, Parameters, Refinement, settings_for
from gdd_plugin.improvement.work import NONE, Work

# Seconds that are left over at the end, for writing the set.
RESERVE = 5.0
# Time limit from which there is time to compile networks, which takes half a minute and saves a
# third of their time, and to choose between states of the set.
MIN_COMPILED_LIMIT = 300.0
# Share of the remaining time that selection may take if refinement follows.
SELECT_SHARE = 0.2
# Shares of the visits after which a state of the set is kept.
STATES = (0.1, 0.25, 0.5, 0.75, 1.0)
# Plan for this share of the time, because machines may slow down.
SAFE_SHARE = 0.92
# Stands for the number of planned visits until the speed is known.
UNPLANNED = 10**6


def has_time_to_compile(task: Task, budget: Budget) -> bool:
    """Return whether networks are compiled, and states of the set compared, on this track.

    It depends on the limit and not on the time that is left, so that every run of a track does the
    same.
    """
    return task.device != "mps" and budget.limit >= MIN_COMPILED_LIMIT


class Improver:
    """The phases after sampling: selection and refinement."""

    def __init__(
        self, task: Task, budget: Budget, work: Work, real: RealImages, generator: ImageGenerator
    ) -> None:
        """Prepare the networks.

        Args:
            task: the task, with a number of images per class.
            budget: the time that is left.
            work: the phases and their amounts of work, decided.
            real: the real images.
            generator: the generator of the pool, to refine latents.
        """
        assert task.ipc
        self.task, self.budget, self.work = task, budget, work
        self.ipc, self.real, self.generator = task.ipc, real, generator
        self.nets = Networks(task, has_time_to_compile(task, budget))
        task.report(networks_compiled=self.nets.compiled)
        # Augmentation draws from the global generator. This process has no other use for it.
        torch.manual_seed(task.seed)

    def improve(self, pool: Pool) -> Iterator[Replacement]:
        """Yield better and better sets."""
        selected = pool.first(self.ipc)
        if pool.per_class > self.ipc:
            for better in self._select(pool, selected):
                self.task.report(images=f"selected by {self.work.select}")
                yield pool.replacement(better)
                selected = better
        self._report_wordings([pool.key(index) for index in selected])
        if self.work.refine != NONE:
            yield from self._refine(pool, selected)

    def _report_wordings(self, keys: list[ImageKey]) -> None:
        """Report which template of the prompt style each image of the set was sampled with."""
        templates = self.generator.wordings
        if len(templates) > 1:
            wordings = [self.generator.wording(key) for key in keys]
            self.task.report(wordings=templates, wording_of_image=wordings)

    def _select(self, pool: Pool, selected: list[int]) -> Iterator[list[int]]:
        """Yield the indices of better and better sets."""
        if self.work.select == "kmeans":
            yield self._cluster(pool)
        if self.work.select != "regression":
            return
        share = SELECT_SHARE if self.work.refine != NONE else 1.0
        end = time.monotonic() + share * (self.budget.remaining() - RESERVE)
        self.task.progress("selecting", 0, self.work.sweeps)
        features = select.pool_features(
            self.nets, self.real, pool.pixels, pool.labels, self.task.seed
        )
        fixed = self.work.sweeps

        def is_over() -> bool:
            return fixed is None and time.monotonic() > end

        self.task.report(sweeps="0")
        sweeps, start = exchange(features, selected, self.task.seed, is_over), time.monotonic()
        for done, better in enumerate(itertools.islice(sweeps, fixed), 1):
            self.task.report(sweeps=str(done))
            self.task.progress("selecting", done, fixed)
            yield better
            seconds = (time.monotonic() - start) / done
            # A sweep that is cut short changes nothing.
            if fixed is None and time.monotonic() + seconds > end:
                break

    def _cluster(self, pool: Pool) -> list[int]:
        """Return the images nearest to the k-means centres of each class, in feature space."""
        net = select.trained_network(self.nets, self.real, self.task.seed)
        features = np.concatenate(
            [
                self.nets.constant_features(net, self.real.normalise(pixels)).cpu().numpy()
                for pixels in pool.pixels.split(select.CHUNK)
            ]
        )
        selected: list[int] = []
        for label in range(self.task.dataset.num_classes):
            members = np.flatnonzero(pool.labels.numpy() == label)
            chosen = nearest_to_centres(features[members], self.ipc, self.task.seed)
            selected += members[chosen].tolist()
        return selected

    def _parameters(self, pool: Pool, selected: list[int]) -> Parameters:
        """Return what the images are computed from."""
        if self.work.refine == "pixels":
            return Pyramid(self.real.normalise(pool.pixels[selected]), self.real.clamp)
        noise, render = renderer(self.generator, [pool.key(index) for index in selected])
        return Noise(noise, lambda noise: self.real.normalise(render(noise)))

    def _refine(self, pool: Pool, selected: list[int]) -> Iterator[Replacement]:
        """Yield states of the set while it is refined, and at the end the best of the last."""
        labels, parameters = pool.labels[selected], self._parameters(pool, selected)
        settings = settings_for(self.work.refine, len(labels), self.nets.compiled)
        refinement = Refinement(self.nets, self.real, parameters, labels, self.task.seed, settings)
        states: list[Tensor] = []
        kept = done = 0
        total: int | None = None
        self.task.report(visits=f"0/{self.work.visits or UNPLANNED}")
        for total in self._visits(refinement):
            self.task.progress("refining", done, total)
            refinement.visit(total)
            done = refinement.visits
            if total and _is_state(done, total):
                states.append(refinement.pixels())
                kept = done
                yield self._refined(refinement, states[-1], labels, total)
        if done > kept:
            # The time was over before the next state.
            yield self._refined(refinement, refinement.pixels(), labels, total or UNPLANNED)
        elif len(states) > 1 and self._has_time_to_choose(refinement):
            best = self._best(states[-settings.candidates :], labels)
            self.task.report(visits=str(done))
            yield Replacement(best, labels, torch.zeros(len(labels), dtype=torch.bool))

    def _refined(
        self, refinement: Refinement, pixels: Tensor, labels: Tensor, total: int
    ) -> Replacement:
        """Return a state of the set, after reporting how to reach it again."""
        self.task.report(
            images=f"refined in {self.work.refine}",
            visits=f"{refinement.visits}/{total}",
            refinement_steps=refinement.steps,
            networks=refinement.lives + len(refinement.members),
        )
        return Replacement(pixels, labels, torch.zeros(len(labels), dtype=torch.bool))

    def _visits(self, refinement: Refinement) -> Iterator[int | None]:
        """Yield the number of planned visits, None while it is unknown, before each visit."""
        total, done, start, seconds = self.work.visits, 0, time.monotonic(), 0.0
        last = self.work.last_visit
        while total is None or done < total:
            # The first visit compiles, so it says nothing about the speed.
            if done == 1:
                start = time.monotonic()
            elif done > 1:
                seconds = (time.monotonic() - start) / (done - 1)
            if done == last or self.budget.remaining() < RESERVE + seconds:
                break
            if total is None and done == TRIAL_VISITS:
                time_left = SAFE_SHARE * (self.budget.remaining() - RESERVE)
                affordable = int((time_left - self._choice_seconds(refinement)) / seconds)
                total = done + max(1, affordable)
            yield total
            done += 1

    def _choice_seconds(self, refinement: Refinement) -> float:
        """Return about how long the choice between states takes; 0: there is none."""
        if refinement.settings.candidates == 1:
            return 0.0
        return choose.seconds(refinement.settings.candidates, refinement.network_step_seconds)

    def _has_time_to_choose(self, refinement: Refinement) -> bool:
        """Return whether to choose between states after all visits."""
        if refinement.settings.candidates == 1 or self.work.last_visit is not None:
            return False
        return self.budget.remaining() - RESERVE > self._choice_seconds(refinement)

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


def _is_state(visits: int, total: int) -> bool:
    """Return whether the set is kept as a state after ``visits`` of ``total`` visits.

    Not after the trials, in which a timed run does not know the total yet.
    """
    is_share = visits in {round(share * total) for share in STATES}
    return visits == total or (is_share and visits > TRIAL_VISITS)
