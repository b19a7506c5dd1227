"""What a model is worth: what a student learns from its images, their variety, their distance from the training images, speed and size."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark_adapters import datasets
from benchmark_adapters import distilled as checks
from benchmark_adapters import environment as provenance
from benchmark_adapters.execution import devices
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.evaluate import score
from benchmark_adapters.scoring.seed_cache import Score
from benchmark_adapters.types import Dataset, DistilledSet, Recipe, Student, UserError
from gdd_plugin.decoders import to_size, to_uint8
from gdd_plugin.models import locate, story
from gdd_plugin.sampler import TurboSampler, generator
from gdd_plugin.training.data import Real

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

PER_CLASS = 600
HELD_OUT = 5000  # where the model doesn't say what it has not seen
BATCH = 64  # whose time is measured
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


def held_out(folders: list[Path], dataset: Dataset) -> int:
    """The number of training images that neither the model nor the adapter in ``folders`` has seen."""
    settings = [story(folder).get("settings", {}) for folder in folders]
    return min(
        [one["held_out"] for one in settings if one.get("dataset") == dataset.name],
        default=HELD_OUT,
    )


def sample(turbo: TurboSampler, dataset: Dataset, per_class: int, seed: int = 0) -> DistilledSet:
    """``per_class`` one-step images of each class by its bare name."""
    images = []
    for label, name in enumerate(dataset.class_names):
        generators = [generator(seed, label, index) for index in range(per_class)]
        pixels = turbo.sample([name] * per_class, generators).float()
        images.append(to_uint8(to_size(pixels, dataset.image_size, dataset.channels)))
    return distilled(
        torch.cat(images).numpy(),
        np.repeat(np.arange(dataset.num_classes), per_class),
        dataset,
        per_class,
    )


def draw(real: Real, per_class: int, seed: int = 0) -> DistilledSet:
    """``per_class`` real training images of each class."""
    order = np.random.default_rng(seed).permutation(len(real.labels))
    return distilled(
        real.images.numpy()[order], real.labels.numpy()[order], real.dataset, per_class
    )


def distilled(images: Array, labels: Array, dataset: Dataset, per_class: int) -> DistilledSet:
    return checks.balanced(images, labels, np.ones(len(labels), bool), dataset, per_class)


def worth(
    images: DistilledSet, unseen: Images, dataset: Dataset, seeds: int, device: str = "cpu"
) -> Score:
    """Accuracies on ``unseen`` of students trained on ``images`` by `RECIPE`."""
    student = Student(RECIPE.student, students.convnet3)
    return Score.of(
        list(score(images, unseen, dataset, RECIPE, student, range(seeds), device, lambda *_: None))
    )


def per_class_percent(found: Score) -> list[float]:
    """Recall of each class over all seeds."""
    confusion = np.array(found.confusion)
    recall: list[float] = (100 * confusion.diagonal() / confusion.sum(1)).tolist()
    return recall


def judge(real: DistilledSet, dataset: Dataset, device: str = "cpu") -> Any:
    """A student trained on real images, in whose features `variety` is measured."""
    torch.manual_seed(0)
    net = students.build(
        RECIPE.student, dataset.num_classes, dataset.image_size, dataset.channels, RECIPE.width
    )
    training.train(
        net,
        training.normalise(real.images, dataset),
        torch.from_numpy(real.labels),
        RECIPE,
        0,
        device,
    )
    return net.cpu()


@torch.inference_mode()
def variety(net: Any, images: DistilledSet, dataset: Dataset) -> float:
    """Mean distance between two images of one class in the features that ``net``'s last layer sees, mean over the classes."""
    found = []
    for label in range(dataset.num_classes):
        features = torch.cat(
            [
                net.features(batch)
                for batch in training.normalise(
                    images.images[images.labels == label], dataset
                ).split(100)
            ]
        ).flatten(1)
        found.append(torch.pdist(features).mean().item())
    return statistics.mean(found)


def nearest(images: Array, real: Array, percent: float = 1.0) -> float:
    """The given percentile, over ``images``, of the distance to the nearest of ``real``: root mean square over pixels, 0 to 255."""
    targets = torch.from_numpy(real).flatten(1).float()
    found = [
        torch.cdist(batch, targets).min(1).values
        for batch in torch.from_numpy(images).flatten(1).float().split(500)
    ]
    return float(np.percentile(torch.cat(found).numpy() / targets.shape[1] ** 0.5, percent))


@torch.inference_mode()
def milliseconds(turbo: TurboSampler, batch: int, repeats: int = 9) -> float:
    """Median time of UNet and decoder per image."""
    pipe, unet = turbo.pipe, turbo.pipe.unet
    noise = torch.randn(batch, unet.config.in_channels, *[unet.config.sample_size] * 2).to(
        unet.device, unet.dtype
    )
    embeds, _, pooled, _ = pipe.encode_prompt("anything", do_classifier_free_guidance=False)
    side = unet.config.sample_size * pipe.vae_scale_factor
    conditions = {
        "text_embeds": pooled.expand(batch, -1),
        "time_ids": noise.new_tensor([side, side, 0, 0, side, side]).expand(batch, 6),
    }
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        pipe.vae.decode(
            unet(noise, 999, embeds.expand(batch, -1, -1), added_cond_kwargs=conditions).sample
        ).sample.cpu()
        times.append((time.perf_counter() - began) / batch * 1000)
    return statistics.median(times)


def evaluate(
    model: str,
    lora: Path | None,
    dataset: Dataset,
    data: Path | None,
    split: str,
    seeds: int,
    device: str = "auto",
) -> dict[str, Any]:
    """All the numbers. ``split`` is ``held-out``, training images that neither model nor adapter has seen, or ``test``.

    Raises:
        UserError: a model or data that can't be read; a model that has seen all training images.
    """
    device = devices.resolve(device)
    folder = locate(model).folder
    real = Real(dataset, data, held_out([folder, *([lora] if lora else [])], dataset), 1)
    unseen = datasets.load(dataset, "test", data) if split == "test" else real.unseen
    if not len(unseen[1]):
        raise UserError(
            f"{model} has seen all training images of {dataset.name}; give --split test"
        )
    turbo = TurboSampler(model, device, lora=str(lora) if lora else None)
    drawn = draw(real, PER_CLASS)
    sampled = sample(turbo, dataset, drawn.ipc)
    scores = {
        side: worth(images, unseen, dataset, seeds, device)
        for side, images in (("generated", sampled), ("real", drawn))
    }
    accuracy = {side: statistics.median(found.accuracies) for side, found in scores.items()}
    rows = zip(*(per_class_percent(scores[side]) for side in ("generated", "real")), strict=True)
    net = judge(drawn, dataset, device)
    return {
        "split": split,
        "recipe": RECIPE.name,
        "images_per_class": drawn.ipc,
        "seeds": seeds,
        "accuracy_percent": {side: round(100 * value, 2) for side, value in accuracy.items()},
        "share_of_real": round(accuracy["generated"] / accuracy["real"], 4),
        "per_class_percent": {
            name: {"generated": round(ours, 1), "real": round(theirs, 1)}
            for name, (ours, theirs) in zip(dataset.class_names, rows, strict=True)
        },
        "variety_share": round(variety(net, sampled, dataset) / variety(net, drawn, dataset), 3),
        "nearest_real_1st_percentile": {
            "generated": round(nearest(sampled.images, real.images.numpy()), 2),
            "unseen_real": round(nearest(unseen[0], real.images.numpy()), 2),
        },
        "milliseconds_per_image": round(milliseconds(turbo, BATCH), 2),
        "batch": BATCH,
        "megabytes": round(
            sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 1
        ),
        "device": device,
        "threads": torch.get_num_threads(),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
