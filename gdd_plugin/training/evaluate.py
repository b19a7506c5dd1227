"""Evaluate a model against real images."""

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
# Number of held-out images to assume if a model does not state its own.
HELD_OUT = 5000
TIMED_BATCH = 64


@dataclass(frozen=True)
class Comparison:
    """A measurement of generated images, and the same measurement of real images."""

    generated: float
    real: float


@dataclass(frozen=True)
class NearestReal:
    """Distance to the nearest training image, for generated images and for unseen real images."""

    generated: float
    unseen_real: float


@dataclass(frozen=True)
class Evaluation:
    """The contents of ``scores.json``.

    Attributes:
        split: ``held-out`` or ``test``, the real images that students are tested on.
        recipe: name of the recipe that the students are trained with.
        images_per_class: number of training images of each student, per class.
        seeds: number of students.
        accuracy_percent: median accuracy over the seeds.
        share_of_real: accuracy with generated images divided by accuracy with real images.
        per_class_percent: recall by class name.
        variety_share: variety of generated images divided by variety of real images.
        nearest_real_1st_percentile: root mean square distance over pixels, 0 to 255.
        milliseconds_per_image: time for the UNet and the decoder.
        batch: images per call when this time was measured.
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
    """Evaluate a model.

    Args:
        model: name, folder or Hub ID.
        lora: folder of a LoRA adapter; None: no adapter.
        dataset: the dataset whose classes are generated.
        data: folder that contains the dataset; None: search the default locations.
        split: real images to test on: ``held-out``, which were not used in training, or ``test``.
        seeds: number of students to train.
        device: torch device, or ``auto``.

    Returns:
        The scores for the model card.

    Raises:
        UserError: the model, adapter or data cannot be read, or no images were held out.
    """
    device, folder = devices.resolve(device), locate(model).folder
    held_out = count_held_out([folder, *([lora] if lora else [])], dataset)
    if split == "held-out" and not held_out // dataset.num_classes:
        raise UserError(
            f"{model} was trained on all training images of {dataset.name}; use --split test"
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
