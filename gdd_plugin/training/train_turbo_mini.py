"""Train turbo-mini from random weights: features, autoencoder, teacher and student."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark_adapters.types import Dataset, UserError
from gdd_plugin.models import turbo_mini
from gdd_plugin.training.data import RealImages
from gdd_plugin.training.files import reporting_library_errors
from gdd_plugin.training.metadata import training_metadata, write_training_metadata
from gdd_plugin.training.networks import Denoiser, Generator
from gdd_plugin.training.prompts import PromptSampler, training_prompts
from gdd_plugin.training.run import TrainingRun
from gdd_plugin.training.settings import TurboMiniSettings
from gdd_plugin.training.stages.autoencoder import encode, train_autoencoder
from gdd_plugin.training.stages.features import train_features
from gdd_plugin.training.stages.student import Supervision, train_student
from gdd_plugin.training.stages.teacher import train_teacher

LICENCE = "Apache-2.0"


def train_turbo_mini(
    output: Path,
    dataset: Dataset,
    data: Path | None,
    settings: TurboMiniSettings,
    save_every: int = 250,
    keep_checkpoints: bool = False,
) -> None:
    """Train a model and save it as a pipeline folder.

    The same call continues a training run that was interrupted. Next to the weights, it writes
    ``training.json``, ``log.csv``, ``losses.svg`` and ``samples.png``. The folder contains
    ``checkpoints`` until the run is finished.

    Args:
        output: folder for the model.
        dataset: dataset whose training split is used.
        data: folder that contains the dataset; None: search the default locations.
        settings: everything else that determines the weights.
        save_every: steps between checkpoints.
        keep_checkpoints: keep the checkpoints when training is done.

    Raises:
        UserError: the images of the dataset do not fit, the data cannot be read or is too small,
            ``output`` contains a different training run, a loss is not finite, or a file cannot be
            written.
    """
    border = _border(dataset)
    images = RealImages(dataset, data, settings.held_out, settings.student.real)
    run = TrainingRun(output, {**asdict(settings), "data_sha256": images.sha256}, save_every)
    images.device = run.device
    texts = training_prompts(dataset)
    run.seed("architecture")
    pipe = turbo_mini.pipeline([text for of_class in texts for text in of_class]).to(run.device)
    prompts = PromptSampler(pipe, texts, run.device)
    generator, supervision = _prepare_student(pipe, images, prompts, settings, run)
    train_student(generator, supervision, settings.student, run)
    if run.is_main_process:
        with reporting_library_errors(output):
            pipe.save_pretrained(output)
        write_training_metadata(run, training_metadata(run, images, border=border, licence=LICENCE))
        if not keep_checkpoints:
            run.clear()


def _prepare_student(
    pipe: Any,
    images: RealImages,
    prompts: PromptSampler,
    settings: TurboMiniSettings,
    run: TrainingRun,
) -> tuple[Generator, Supervision]:
    """Train all stages before the student.

    Args:
        pipe: pipeline with random weights, trained in place.
        images: the real images; their latents are added.
        prompts: the prompts of the classes.
        settings: settings of the stages.
        run: the training run.

    Returns:
        The generator, which starts with the teacher's weights, and the networks and data that it
        learns from.

    Raises:
        UserError: see `TrainingLoop`.
    """
    features = train_features(images, settings.features, run)
    train_autoencoder(pipe.vae, images, settings.autoencoder, run)
    latents = encode(pipe.vae, images)
    pipe.vae.register_to_config(scaling_factor=1 / latents.std().item())
    images.latents = latents * pipe.vae.config.scaling_factor
    denoiser = Denoiser(pipe)
    teacher = train_teacher(denoiser, images, images.latents, prompts, settings.teacher, run)
    # The decoder is trained further, as a part of the generator.
    pipe.vae.decoder.requires_grad_(True)
    dataset = images.dataset
    generator = Generator(
        denoiser, pipe.vae, dataset.channels, dataset.image_size, _border(dataset)
    )
    return generator, Supervision(features, images, prompts, teacher)


def _border(dataset: Dataset) -> int:
    """Return the number of border pixels that turbo-mini adds on each side of a dataset's images.

    Raises:
        UserError: the dataset's images are too large, or their size is odd.
    """
    border, odd = divmod(turbo_mini.SIDE - dataset.image_size, 2)
    if border < 0 or odd:
        raise UserError(
            f"turbo-mini generates images of {turbo_mini.SIDE} px, but {dataset.name} has "
            f"{dataset.image_size} px; adapt a larger model instead"
        )
    return border
