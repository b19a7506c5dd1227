"""generative-turbo: label prompts, one-step samples, Post Data Augmentation, classes round-robin."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from benchmark_adapters.types import Task
from gdd_plugin import pda, prompts, sampler

if TYPE_CHECKING:
    from benchmark_adapters.types import Round

PRESETS: dict[str, dict[str, str]] = {
    "default": {"prompts": "name", "pda": "default"},
    "published": {"prompts": "bare", "pda": "published"},
}
MODELS = {"fashion-mnist": "turbo-mini"}
MODEL = "stabilityai/sdxl-turbo"


@dataclass(frozen=True)
class Settings:
    """The method's options with every default decided."""

    model: str
    lora: str | None
    prompts: str
    pda: str
    copies: int
    batch: int | None


def settings(options: Mapping[str, Any], dataset: str) -> Settings:
    """What ``options`` mean for ``dataset``: an option given wins over the preset."""
    preset = PRESETS[options["preset"]]
    policy = options["pda"] or preset["pda"]
    copies = pda.POLICIES[policy].copies if options["copies"] is None else options["copies"]
    return Settings(
        model=options["model"] or MODELS.get(dataset, MODEL),
        lora=options["lora"],
        prompts=options["prompts"] or preset["prompts"],
        pda=policy,
        copies=copies if policy != "none" else 0,
        batch=options["batch"],
    )


def rounds(task: Task) -> Iterator[Round]:
    """Rounds of sampled images, each followed by its augmented copies; forever where ``task.ipc`` is None."""
    chosen = settings(task.options, task.dataset.name)
    data = task.dataset
    wordings = prompts.class_prompts(data.class_names, data.name, chosen.prompts, data.synonyms)
    turbo = sampler.TurboSampler(chosen.model, task.device, chosen.batch, chosen.lora)
    turbo.encode([prompt for wording in wordings for prompt in wording])
    task.ready(**turbo.facts, prompts=chosen.prompts, pda=chosen.pda, copies=chosen.copies)
    per_class = None if task.ipc is None else math.ceil(task.ipc / (1 + chosen.copies))
    images_wanted = _round_robin(data.num_classes, per_class)
    while batch := list(itertools.islice(images_wanted, turbo.batch)):
        generators = [sampler.generator(task.seed, label, index) for label, index in batch]
        # The next image of a class takes its next wording.
        words = [wordings[label][index % len(wordings[label])] for label, index in batch]
        images = sampler.fit(turbo.sample(words, generators), data.image_size, data.channels)
        yield _with_copies(images, torch.tensor([label for label, _ in batch]), chosen, generators)


def _round_robin(classes: int, per_class: int | None) -> Iterator[tuple[int, int]]:
    """(label, index) of every image: the first of each class, then the second, so that a cut leaves a balanced set."""
    for index in itertools.count() if per_class is None else range(per_class):
        for label in range(classes):
            yield label, index


def _with_copies(images: torch.Tensor, labels: torch.Tensor, chosen: Settings, generators: list[torch.Generator]) -> Round:
    """Each image and then its copies, with marks that tell them apart."""
    copies = pda.augment(images, chosen.copies, chosen.pda, generators).unflatten(0, (len(images), chosen.copies))
    together = torch.cat([images[:, None], copies], 1).flatten(0, 1)
    sampled = torch.zeros(len(images), 1 + chosen.copies, dtype=torch.bool)
    sampled[:, 0] = True
    return together, labels.repeat_interleave(1 + chosen.copies), sampled.flatten()
