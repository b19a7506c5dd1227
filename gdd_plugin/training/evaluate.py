"""What a model is worth: what a student learns from its images, their variety, their distance from the training images, speed and size."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from benchmark_adapters import datasets, provenance, students, training
from benchmark_adapters.types import Dataset, Recipe
from gdd_plugin.sampler import TurboSampler, fit, generator, locate
from gdd_plugin.training.data import Real

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

PER_CLASS = 600
RECIPE = Recipe(
    name="model-card/1",
    student="convnet3",
    width=64,
    batch_size=128,
    steps=400,
    lr=0.05,
    schedule="one-cycle",
    augment="shift",
    summary="600 images per class, shifts by up to 2 pixels",
)
Images = tuple["Array", "Array"]  # uint8 [N, C, S, S], int64 [N]


def sample(model: str, lora: Path | None, dataset: Dataset, seed: int = 0) -> Images:
    """`PER_CLASS` one-step images of each class by its bare name."""
    turbo = TurboSampler(model, lora=str(lora) if lora else None)
    images = []
    for label, name in enumerate(dataset.class_names):
        generators = [generator(seed, label, index) for index in range(PER_CLASS)]
        images.append(fit(turbo.sample([name] * PER_CLASS, generators), dataset.image_size, dataset.channels))
    return torch.cat(images).numpy(), np.repeat(np.arange(dataset.num_classes), PER_CLASS)


def draw(real: Real, seed: int = 0) -> Images:
    """`PER_CLASS` real training images of each class."""
    rng = np.random.default_rng(seed)
    chosen = torch.cat([members[rng.permutation(len(members))[:PER_CLASS]] for members in real.members])
    return real.images[chosen].numpy(), real.labels[chosen].numpy()


def learn(images: Images, dataset: Dataset, seed: int) -> nn.Module:
    """A student trained on ``images`` by `RECIPE`."""
    torch.manual_seed(seed)
    net = students.build(RECIPE.student, dataset.num_classes, dataset.image_size, dataset.channels, RECIPE.width)
    training.train(net, training.normalise(images[0], dataset), torch.from_numpy(images[1]), RECIPE, seed)
    return net


def accuracies(net: nn.Module, images: Images, dataset: Dataset) -> list[float]:
    """The fraction of each class's images that ``net`` gets right."""
    right = training.predict(net, training.normalise(images[0], dataset)).numpy() == images[1]
    return [float(right[images[1] == label].mean()) for label in range(dataset.num_classes)]


@torch.inference_mode()
def variety(net: Any, images: Images, dataset: Dataset) -> float:
    """Mean distance between two images of one class in the features that ``net``'s last layer sees, mean over the classes."""
    found = []
    for label in range(dataset.num_classes):
        features = torch.cat([net.features(batch) for batch in training.normalise(images[0][images[1] == label], dataset).split(100)]).flatten(1)
        found.append(torch.pdist(features).mean().item())
    return statistics.mean(found)


def nearest(images: Array, real: Array, percent: float = 1.0) -> float:
    """The given percentile, over ``images``, of the distance to the nearest of ``real``: root mean square over pixels, 0 to 255."""
    targets = torch.from_numpy(real).flatten(1).float()
    found = [torch.cdist(batch, targets).min(1).values for batch in torch.from_numpy(images).flatten(1).float().split(500)]
    return float(np.percentile(torch.cat(found).numpy() / targets.shape[1] ** 0.5, percent))


@torch.inference_mode()
def milliseconds(model: str, batch: int = 64, repeats: int = 9) -> float:
    """Median time of UNet and decoder per image."""
    pipe = TurboSampler(model).pipe
    noise = torch.randn(batch, pipe.unet.config.in_channels, *[pipe.unet.config.sample_size] * 2)
    embeds, _, pooled, _ = pipe.encode_prompt("anything", do_classifier_free_guidance=False)
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    conditions = {"text_embeds": pooled.expand(batch, -1), "time_ids": torch.tensor([side, side, 0, 0, side, side]).expand(batch, 6)}
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        pipe.vae.decode(pipe.unet(noise, 999, embeds.expand(batch, -1, -1), added_cond_kwargs=conditions).sample)
        times.append((time.perf_counter() - began) / batch * 1000)
    return statistics.median(times)


def evaluate(model: str, lora: Path | None, dataset: Dataset, data: Path | None, held_out: int, split: str, seeds: int) -> dict[str, Any]:
    """All the numbers. ``split`` is ``held-out``, the last ``held_out`` training images, or ``test``."""
    everything = datasets.load(dataset, "train", data)
    unseen = datasets.load(dataset, "test", data) if split == "test" else (everything[0][-held_out:], everything[1][-held_out:])
    real = Real(dataset, data, held_out, PER_CLASS)
    sampled, drawn = sample(model, lora, dataset), draw(real)
    rows: dict[str, list[list[float]]] = {"generated": [], "real": []}
    for seed in range(seeds):
        judge = learn(drawn, dataset, seed)
        rows["real"].append(accuracies(judge, unseen, dataset))
        rows["generated"].append(accuracies(learn(sampled, dataset, seed), unseen, dataset))
    means = {side: statistics.median(map(statistics.mean, found)) for side, found in rows.items()}
    return {
        "split": split,
        "recipe": RECIPE.name,
        "seeds": seeds,
        "accuracy_percent": {side: round(100 * value, 2) for side, value in means.items()},
        "share_of_real": round(means["generated"] / means["real"], 4),
        "per_class_percent": {
            name: {side: round(100 * statistics.median(one[label] for one in found), 1) for side, found in rows.items()}
            for label, name in enumerate(dataset.class_names)
        },
        "variety_share": round(variety(judge, sampled, dataset) / variety(judge, drawn, dataset), 3),
        "nearest_real_1st_percentile": {
            "generated": round(nearest(sampled[0], real.images.numpy()), 2),
            "unseen_real": round(nearest(unseen[0], real.images.numpy()), 2),
        },
        "milliseconds_per_image": round(milliseconds(model), 2),
        "megabytes": round(sum(file.stat().st_size for file in locate(model).rglob("*") if file.is_file()) / 1e6, 1),
        "threads": torch.get_num_threads(),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
