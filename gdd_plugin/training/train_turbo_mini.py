"""Train turbo-mini from random weights: features, autoencoder, teacher, student."""

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
    """Make a model folder. The same call continues a training that was interrupted.

    Beside the weights it writes ``training.json``, ``log.csv``, ``losses.svg``, ``samples.png``,
    and ``checkpoints`` until it is done.

    Args:
        output: the folder.
        dataset: whose training split is learned.
        data: folder that holds it; None: where it is found.
        settings: everything else that decides the weights.
        save_every: steps between two checkpoints.
        keep_checkpoints: leave them in place at the end.

    Raises:
        UserError: the data can't be read or are too few, ``output`` holds another training, a loss
            is not finite, or the disk is full.
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
        pipe: with random weights; is trained in place.
        images: real ones; get their latents.
        prompts: of the classes.
        settings: of the stages.
        run: the training.

    Returns:
        The generator, which begins with the teacher's weights, and what it learns from.
    """
    features = train_features(images, settings.features, run)
    train_autoencoder(pipe.vae, images, settings.autoencoder, run)
    latents = encode(pipe.vae, images)
    pipe.vae.register_to_config(scaling_factor=1 / latents.std().item())
    images.latents = latents * pipe.vae.config.scaling_factor
    denoiser = Denoiser(pipe)
    teacher = train_teacher(denoiser, images, images.latents, prompts, settings.teacher, run)
    pipe.vae.decoder.requires_grad_(True)  # is trained on, as a part of the generator
    dataset = images.dataset
    generator = Generator(
        denoiser, pipe.vae, dataset.channels, dataset.image_size, _border(dataset)
    )
    return generator, Supervision(features, images, prompts, teacher)


def _border(dataset: Dataset) -> int:
    """Return the pixels on each side of turbo-mini's images around the dataset's.

    Raises:
        UserError: the dataset's images don't fit.
    """
    border, odd = divmod(turbo_mini.SIDE - dataset.image_size, 2)
    if border < 0 or odd:
        raise UserError(
            f"turbo-mini makes images of {turbo_mini.SIDE} px; {dataset.name} has "
            f"{dataset.image_size} px: adapt a larger model instead"
        )
    return border
