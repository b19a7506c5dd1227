"""turbo-mini from random weights: features, autoencoder, teacher, student, each on real images only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmark_adapters.types import Dataset, UserError, one_line
from gdd_plugin import architecture
from gdd_plugin.training import student
from gdd_plugin.training.autoencoder import encode, train_autoencoder
from gdd_plugin.training.data import Real
from gdd_plugin.training.denoiser import Denoiser, Generator, Prompts
from gdd_plugin.training.features import train_features
from gdd_plugin.training.journal import Journal
from gdd_plugin.training.manifest import known_prompts, write_manifest
from gdd_plugin.training.teacher import train_teacher


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights, beside the data and the versions of the libraries."""

    dataset: str
    seed: int = 0
    held_out: int = 5000
    features_steps: int = 1000
    features_batch: int = 128
    features_lr: float = 2e-3
    autoencoder_steps: int = 2500
    autoencoder_batch: int = 64
    autoencoder_lr: float = 2e-3
    teacher_steps: int = 2000
    teacher_batch: int = 128
    teacher_lr: float = 1e-3
    teacher_ema: float = 0.998
    student: student.Settings = field(default_factory=lambda: student.Settings(steps=3000, adversarial=0.0, distillation=0.0))


def train(output: Path, dataset: Dataset, data: Path | None, settings: Settings, save_every: int = 250, keep_checkpoints: bool = False) -> None:
    """Makes the model folder ``output``; the same call continues a training that was ended early.

    Beside the weights: ``training.json``, ``log.csv``, ``losses.svg``, ``samples.png``, and ``checkpoints`` until it is done.

    Raises:
        UserError: data that can't be read or is too small, another training in ``output``, a loss that is not finite, a full disk.
    """
    border, odd = divmod(architecture.SIDE - dataset.image_size, 2)
    if border < 0 or odd:
        raise UserError(f"turbo-mini makes images of {architecture.SIDE} px; {dataset.name} has {dataset.image_size} px: adapt a larger model instead")
    real = Real(dataset, data, settings.held_out, settings.student.real)
    journal = Journal(output, {**asdict(settings), "data_sha256": real.sha256}, save_every)
    real.device = journal.accelerator.device
    wordings = known_prompts(dataset)
    journal.seed("architecture")
    pipe = architecture.pipeline([prompt for known in wordings for prompt in known]).to(real.device)
    known = Prompts(pipe, wordings, real.device)

    features = train_features(real, settings.features_steps, settings.features_batch, settings.features_lr, journal)
    train_autoencoder(pipe.vae, real, settings.autoencoder_steps, settings.autoencoder_batch, settings.autoencoder_lr, journal)
    latents = encode(pipe.vae, real)
    pipe.vae.register_to_config(scaling_factor=1 / latents.std().item())
    real.latents = latents * pipe.vae.config.scaling_factor

    denoiser = Denoiser(pipe)
    teacher = train_teacher(
        denoiser, real, real.latents, known, settings.teacher_steps, settings.teacher_batch, settings.teacher_lr, settings.teacher_ema, journal
    )
    pipe.vae.decoder.requires_grad_(True)  # trained on, as a part of the generator
    generator = Generator(denoiser, pipe.vae, dataset.channels, dataset.image_size, border)
    student.train_student(generator, teacher, features, real, known, settings.student, journal)
    if journal.accelerator.is_main_process:
        save(pipe, output)
        write_manifest(journal, real, {"border": border, "licence": "Apache-2.0"})
        if not keep_checkpoints:
            journal.clear()


def save(pipe: Any, output: Path) -> None:
    try:
        pipe.save_pretrained(output)
    except Exception as error:  # safetensors raises its own kind on a full disk
        raise UserError(f"{output} can't be written: {one_line(error)}; make room and run the same command to continue") from None
