"""Measure a model next to real images."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmark_adapters import datasets, environment
from benchmark_adapters.execution import devices
from benchmark_adapters.scoring.seed_cache import Score
from benchmark_adapters.types import Dataset, DistilledSet, UserError
from gdd_plugin.models.loading import locate
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.models.training_metadata import read_training_metadata
from gdd_plugin.training import metrics
from gdd_plugin.training.data import RealImages

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

PER_CLASS = 600
HELD_OUT = 5000  # where the model doesn't say what it has not seen
TIMED_BATCH = 64


@dataclass(frozen=True)
class Comparison:
    """A measure of the model's images and of real ones."""

    generated: float
    real: float


@dataclass(frozen=True)
class NearestReal:
    """Distance to the nearest training image of the model's images and of unseen real ones."""

    generated: float
    unseen_real: float


@dataclass(frozen=True)
class Evaluation:
    """The contents of ``scores.json``.

    Attributes:
        recipe: name of the students' recipe.
        images_per_class: that each student learned from.
        seeds: number of students.
        accuracy_percent: medians over the seeds.
        share_of_real: accuracy from generated images over that from real ones.
        per_class_percent: recall, by class name.
        variety_share: variety of generated images over that of real ones.
        nearest_real_1st_percentile: root mean square over pixels, 0 to 255.
        milliseconds_per_image: for UNet and decoder.
        batch: images per call, of which the time was taken.
        megabytes: size of the model's folder.
    """

    split: str
    recipe: str
    images_per_class: int
    seeds: int
    accuracy_percent: Comparison
    share_of_real: float
    per_class_percent: Mapping[str, Comparison]
    variety_share: float
    nearest_real_1st_percentile: NearestReal
    milliseconds_per_image: float
    batch: int
    megabytes: float
    device: str
    threads: int
    hardware: Mapping[str, str | int | float]
    versions: Mapping[str, str]


def evaluate(
    model: str,
    lora: Path | None,
    dataset: Dataset,
    data: Path | None,
    split: str,
    seeds: int,
    device: str = "auto",
) -> Evaluation:
    """Measure a model.

    Args:
        model: name, folder or hub id.
        lora: folder of an adapter.
        dataset: whose images it makes.
        data: folder that holds the dataset; None: where it is found.
        split: ``held-out``, training images that neither model nor adapter has seen, or ``test``.
        seeds: number of students.
        device: torch device, or ``auto``.

    Raises:
        UserError: the model or the data can't be read, or the model has seen all training images.
    """
    device, folder = devices.resolve(device), locate(model).folder
    held_out = count_held_out([folder, *([lora] if lora else [])], dataset)
    if split == "held-out" and not held_out // dataset.num_classes:
        raise UserError(
            f"{model} has seen all training images of {dataset.name}; give --split test"
        )
    images = RealImages(dataset, data, held_out, 1)
    test = datasets.load(dataset, "test", data) if split == "test" else images.held_out
    turbo = TurboSampler(model, device, lora=str(lora) if lora else None)
    real = metrics.draw_images(images, PER_CLASS)
    generated = metrics.sample_images(turbo, dataset, real.ipc)
    scores = [
        metrics.student_accuracy(images_of_side, test, dataset, seeds, device)
        for images_of_side in (generated, real)
    ]
    accuracy = Comparison(*(statistics.median(of_side.accuracies) for of_side in scores))
    return Evaluation(
        split=split,
        recipe=metrics.RECIPE.name,
        images_per_class=real.ipc,
        seeds=seeds,
        accuracy_percent=_percent(accuracy),
        share_of_real=round(accuracy.generated / accuracy.real, 4),
        per_class_percent=_per_class(dataset, scores),
        variety_share=_variety_share(generated, real, dataset, device),
        nearest_real_1st_percentile=_nearest_real(generated, test[0], images),
        milliseconds_per_image=round(metrics.milliseconds_per_image(turbo, TIMED_BATCH), 2),
        batch=TIMED_BATCH,
        megabytes=_megabytes(folder),
        device=device,
        threads=torch.get_num_threads(),
        hardware=environment.hardware(),
        versions=environment.versions(),
    )


def count_held_out(folders: list[Path], dataset: Dataset) -> int:
    """Return how many training images neither the model nor the adapter in ``folders`` has seen."""
    settings = [read_training_metadata(folder).settings for folder in folders]
    return min(
        [
            int(of_training["held_out"])
            for of_training in settings
            if of_training.get("dataset") == dataset.name
        ],
        default=HELD_OUT,
    )


def _per_class(dataset: Dataset, scores: Sequence[Score]) -> dict[str, Comparison]:
    recalls = zip(*(metrics.recall_percent(side) for side in scores), strict=True)
    return {
        name: Comparison(round(generated, 1), round(real, 1))
        for name, (generated, real) in zip(dataset.class_names, recalls, strict=True)
    }


def _percent(fractions: Comparison) -> Comparison:
    return Comparison(round(100 * fractions.generated, 2), round(100 * fractions.real, 2))


def _nearest_real(generated: DistilledSet, test: Array, real: RealImages) -> NearestReal:
    distances = (
        metrics.nearest_distance(images, real.images.numpy()) for images in (generated.images, test)
    )
    return NearestReal(*(round(distance, 2) for distance in distances))


def _variety_share(
    generated: DistilledSet, real: DistilledSet, dataset: Dataset, device: str
) -> float:
    network = metrics.train_reference_student(real, dataset, device)
    of_generated, of_real = (
        metrics.variety(network, images, dataset) for images in (generated, real)
    )
    return round(of_generated / of_real, 3)


def _megabytes(folder: Path) -> float:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return round(size / 1e6, 1)
