"""Measurements of a model: accuracy of students, variety, distance to real images and speed."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark_adapters.distilled import balanced
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.evaluate import score
from benchmark_adapters.scoring.seed_cache import Score
from benchmark_adapters.types import Dataset, DistilledSet, Recipe, Student
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.images import OutputSpec, to_size, to_uint8
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator
from gdd_plugin.training.data import RealImages

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

    # Images uint8 [N, C, S, S] and labels int64 [N].
    LabelledImages = tuple[Array, Array]

RECIPE = Recipe(
    name="model-card/1",
    student="convnet3",
    width=64,
    batch_size=128,
    steps=400,
    lr=0.05,
    schedule="one-cycle",
    augment="shift",
    summary="600 images per class, shifts of up to 2 pixels",
)
# Images to process at once.
FEATURES_BATCH, DISTANCES_BATCH = 100, 500


def sample_images(
    turbo: TurboSampler, dataset: Dataset, per_class: int, seed: int = 0
) -> DistilledSet:
    """Sample images of each class, prompted with the class name or its own prompt."""
    images = []
    for label, name in enumerate(dataset.prompts or dataset.class_names):
        generators = [seeded_generator(seed, label, index) for index in range(per_class)]
        pixels = turbo.sample([name] * per_class, generators).float()
        images.append(to_uint8(to_size(pixels, dataset.image_size, dataset.channels)))
    labels = np.repeat(np.arange(dataset.num_classes), per_class)
    return distilled_set(torch.cat(images).numpy(), labels, dataset, per_class)


def draw_images(real: RealImages, per_class: int, seed: int = 0) -> DistilledSet:
    """Draw real training images of each class."""
    order = np.random.default_rng(seed).permutation(len(real.labels))
    images, labels = real.images.numpy()[order], real.labels.numpy()[order]
    return distilled_set(images, labels, real.dataset, per_class)


def distilled_set(images: Array, labels: Array, dataset: Dataset, per_class: int) -> DistilledSet:
    """Return the first ``per_class`` images of each class as a distilled set."""
    return balanced(images, labels, np.ones(len(labels), bool), dataset, per_class)


def student_accuracy(
    images: DistilledSet,
    test: LabelledImages,
    dataset: Dataset,
    seeds: int,
    device: str = "cpu",
) -> Score:
    """Train students on ``images`` with `RECIPE`, and score them.

    Args:
        images: images to train on.
        test: images and labels to test on.
        dataset: the dataset of both.
        seeds: number of students to train.
        device: torch device.

    Returns:
        The accuracies of the students, and their joint confusion matrix.
    """
    student = Student(RECIPE.student, students.convnet3)
    results = score(images, test, dataset, RECIPE, student, range(seeds), device, lambda *_: None)
    return Score.of(list(results))


def recall_percent(scores: Score) -> list[float]:
    """Return the recall of each class over all seeds."""
    confusion = np.array(scores.confusion)
    recall: list[float] = (100 * confusion.diagonal() / confusion.sum(1)).tolist()
    return recall


def train_reference_student(real: DistilledSet, dataset: Dataset, device: str = "cpu") -> Any:
    """Train a student on real images, for measuring `variety` in its features."""
    torch.manual_seed(0)
    network = students.build(
        RECIPE.student, dataset.num_classes, dataset.image_size, dataset.channels, RECIPE.width
    )
    images = training.normalise(real.images, dataset)
    training.train(network, images, torch.from_numpy(real.labels), RECIPE, 0, device)
    return network.cpu()


@torch.inference_mode()
def variety(network: Any, images: DistilledSet, dataset: Dataset) -> float:
    """Return the mean distance between two images of a class, averaged over the classes.

    It is measured in the features that ``network`` passes to its last layer.
    """
    distances = []
    for label in range(dataset.num_classes):
        of_class = training.normalise(images.images[images.labels == label], dataset)
        features = [network.features(batch) for batch in of_class.split(FEATURES_BATCH)]
        distances.append(torch.pdist(torch.cat(features).flatten(1)).mean().item())
    return statistics.mean(distances)


def nearest_distance(images: Array, real: Array, percent: float = 1.0) -> float:
    """Return a percentile over ``images`` of the distance to the nearest image in ``real``.

    The distance is the root mean square over pixels, from 0 to 255.
    """
    targets = torch.from_numpy(real).flatten(1).float()
    queries = torch.from_numpy(images).flatten(1).float()
    nearest = [
        torch.cdist(batch, targets).min(1).values for batch in queries.split(DISTANCES_BATCH)
    ]
    return float(np.percentile(torch.cat(nearest).numpy() / targets.shape[1] ** 0.5, percent))


@torch.inference_mode()
def milliseconds_per_image(turbo: TurboSampler, batch: int, repeats: int = 9) -> float:
    """Return the median time per image for the UNet and the decoder."""
    pipe, unet = turbo.pipe, turbo.pipe.unet
    side = unet.config.sample_size
    noise = torch.randn(batch, unet.config.in_channels, side, side)
    noise = noise.to(unet.device, unet.dtype)
    # The pipeline returns each embedding followed by that of the negative prompt, which is None.
    embeddings = [
        kind.expand(batch, *kind.shape[1:])
        for kind in pipe.encode_prompt("anything", do_classifier_free_guidance=False)[::2]
    ]
    timestep = torch.full((1,), 999.0, device=unet.device)
    # It decodes a few images at once, in the decoder's own data type.
    decode = exact_decoder(pipe, OutputSpec(side * pipe.vae_scale_factor, 3))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        latents = turbo.backbone.predict(unet, noise, timestep, embeddings, turbo.size)
        decode(latents).cpu()
        times.append((time.perf_counter() - start) / batch * 1000)
    return statistics.median(times)
