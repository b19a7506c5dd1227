"""The one-step student: its losses together, and the loop."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark_adapters.types import UserError
from gdd_plugin.training import losses
from gdd_plugin.training.data import Real
from gdd_plugin.training.denoiser import Denoiser, Generator, Prompts
from gdd_plugin.training.features import Discriminator, Features
from gdd_plugin.training.journal import Journal, Stage

PLACES = 12  # per layer and step, drawn anew


@dataclass(frozen=True)
class Settings:
    """The student's training; a loss of weight 0 is left out, and its time saved. Per step: ``classes`` times ``generated`` samples."""

    steps: int
    lr: float = 5e-4
    classes: int = 4
    generated: int = 32
    real: int = 64
    matching: float = 1.0
    adversarial: float = 0.1
    distillation: float = 0.1
    r1: float = 1e-3
    discriminator_lr: float = 1e-3
    ema: float = 0.998

    def __post_init__(self) -> None:
        if not (self.matching or self.adversarial or self.distillation):
            raise UserError(
                "no loss of the student has a weight; give --matching, --adversarial or --distillation"
            )


@dataclass
class Batch:
    """One step's samples, or real images of the same classes, class by class: [classes * samples, …]; not all real ones have latents."""

    latents: Tensor | None
    pictures: Tensor
    labels: Tensor
    layers: list[Tensor]
    logits: Tensor


def matching(generated: Batch, real: Batch, classes: int, fresh: Features) -> Tensor:
    """Energy distances per class, summed: of logits, of latents, of the frozen network's layers and of those of a random one.

    The frozen network sees what tells real classes apart, and is blind to what only samples have; the random one, drawn
    anew at each step, is blind to nothing for long (Zhao & Bilen 2023 match distributions in such networks).
    """
    fresh.draw()
    with torch.no_grad():
        real_layers = fresh(real.pictures)[0]
    total = _distance(generated.logits, real.logits, classes)
    if generated.latents is not None and real.latents is not None:
        total = total + _distance(generated.latents, real.latents, classes)
    return (
        total
        + _layers(generated.layers, real.layers, classes)
        + _layers(fresh(generated.pictures)[0], real_layers, classes)
    )


def _layers(generated: Sequence[Tensor], real: Sequence[Tensor], classes: int) -> Tensor:
    """The last two layers as a whole, which is a class's composition; the first three at single places, which is its texture.

    Distances in few dimensions tell more of a distribution than those in thousands, which are all alike.
    """
    terms = [_distance(x, y, classes) for x, y in zip(generated[2:], real[2:], strict=True)]
    for x, y in zip(generated[:3], real[:3], strict=True):
        places = torch.randperm(x.shape[-1] * x.shape[-2])[:PLACES]
        terms.append(
            losses.energy_distance(_at(x, places, classes), _at(y, places, classes)).mean()
        )
    return torch.stack(terms).sum()


def _distance(generated: Tensor, real: Tensor, classes: int) -> Tensor:
    """Mean energy distance of the classes, from [classes * samples, …]."""
    return losses.energy_distance(
        *(x.flatten(1).unflatten(0, (classes, -1)) for x in (generated, real))
    ).mean()


def _at(layer: Tensor, places: Tensor, classes: int) -> Tensor:
    """[classes * n, c, h, w] to [classes * places, n, c]."""
    return (
        layer.flatten(2)[..., places].unflatten(0, (classes, -1)).permute(0, 3, 1, 2).flatten(0, 1)
    )


def distil(latents: Tensor, teacher: Denoiser, tokens: tuple[Tensor, Tensor]) -> Tensor:
    """The distillation loss on ``latents`` re-noised to uniform times."""
    timesteps = torch.randint(1, 1000, (len(latents),), device=latents.device)
    with torch.no_grad():
        clean = teacher(
            teacher.noised(latents, torch.randn_like(latents), timesteps), timesteps, tokens
        )
    return losses.distillation(latents, clean, teacher.alpha[timesteps])


class Adversary:
    """The discriminator with its optimizer; one step of its own for each of the student's."""

    def __init__(self, classes: int, chosen: Settings, journal: Journal) -> None:
        self.accelerator, self.r1 = journal.accelerator, chosen.r1
        self.net = Discriminator(classes).to(self.accelerator.device)
        optimizer = torch.optim.AdamW(
            self.net.parameters(), chosen.discriminator_lr, betas=(0.0, 0.99)
        )
        self.wrapped, self.optimizer = self.accelerator.prepare(self.net, optimizer)

    def generator_loss(self, generated: Batch) -> Tensor:
        self.net.requires_grad_(False)
        loss = losses.hinge_generator(self.net(generated.layers[1:], generated.labels))
        self.net.requires_grad_(True)
        return loss

    def learn(self, generated: Batch, real: Batch) -> Tensor:
        """One step down the discriminator's loss, which is returned."""
        count = len(real.labels)
        both = [
            torch.cat([x, y]).detach().requires_grad_()
            for x, y in zip(real.layers[1:], generated.layers[1:], strict=True)
        ]
        outputs = self.wrapped(both, torch.cat([real.labels, generated.labels]))
        on_real = [output[:count] for output in outputs]
        loss = losses.hinge_discriminator(
            on_real, [output[count:] for output in outputs]
        ) + self.r1 * losses.r1_penalty(on_real, both)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.net.load_state_dict(state_dict["net"])
        self.optimizer.load_state_dict(state_dict["optimizer"])


def train_student(
    generator: Generator,
    teacher: Denoiser | None,
    features: Features,
    real: Real,
    prompts: Prompts,
    chosen: Settings,
    journal: Journal,
) -> None:
    """Trains what of ``generator`` requires gradients; ``teacher`` may be None where the distillation loss has no weight."""
    journal.seed("discriminator")
    adversary = Adversary(real.dataset.num_classes, chosen, journal) if chosen.adversarial else None
    fresh = copy.deepcopy(features)
    stage = Stage(
        journal,
        "student",
        chosen.steps,
        generator,
        chosen.lr,
        ema=chosen.ema,
        others={"adversary": adversary} if adversary else {},
    )
    stage.sampling = lambda: journal.pictures(_examples(generator, real, prompts))
    for _ in stage:
        classes = torch.randperm(real.dataset.num_classes)[: chosen.classes].tolist()
        tokens = prompts.draw(classes)
        noise = torch.randn(len(classes) * chosen.generated, *generator.shape, device=real.device)
        latents, pictures = stage.net(noise, tokens)
        generated = Batch(
            latents,
            pictures,
            torch.tensor(classes, device=real.device).repeat_interleave(chosen.generated),
            *features(pictures),
        )
        terms, seen = {}, {}
        if chosen.matching:
            terms["matching"] = matching(
                generated, _drawn(features, real, classes, chosen.real), len(classes), fresh
            )
        if adversary:
            seen["discriminator"] = adversary.learn(
                generated, _drawn(features, real, classes, chosen.generated)
            )
            terms["adversarial"] = adversary.generator_loss(generated)
        if chosen.distillation:
            assert teacher is not None  # callers see to it
            with journal.accelerator.autocast():
                terms["distillation"] = distil(latents, teacher, tokens)
        stage.learn(
            torch.stack([getattr(chosen, name) * term for name, term in terms.items()]).sum(),
            **terms,
            **seen,
        )


@torch.no_grad()
def _drawn(features: Features, real: Real, classes: Sequence[int], count: int) -> Batch:
    indices = real.draw(classes, count)
    pictures = real.pictures(indices)
    latents = None if real.latents is None else real.latents[indices].to(real.device)
    return Batch(latents, pictures, real.labels[indices].to(real.device), *features(pictures))


@torch.no_grad()
def _examples(generator: Generator, real: Real, prompts: Prompts, count: int = 10) -> Tensor:
    """Pictures [classes, count, C, S, S] of the first ten classes by their bare names, the noise always the same."""
    source = torch.Generator().manual_seed(0)
    rows = []
    for wordings in prompts.wordings[:10]:  # class by class, since large models fill the memory
        noise = torch.randn(count, *generator.shape, generator=source).to(real.device)
        rows.append(generator(noise, prompts.tokens(wordings[:1]))[1])
    return torch.stack(rows)
