"""turbo-mini from random weights: features, autoencoder, teacher, student, each on real images only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark_adapters.types import Dataset, UserError
from gdd_plugin import architecture
from gdd_plugin.training import student
from gdd_plugin.training.autoencoder import encode, train_autoencoder
from gdd_plugin.training.data import Real
from gdd_plugin.training.denoiser import Denoiser, Generator, Prompts
from gdd_plugin.training.features import train_features
from gdd_plugin.training.journal import Journal, Schedule, saving
from gdd_plugin.training.manifest import known_prompts, write_manifest
from gdd_plugin.training.teacher import train_teacher


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights, beside the data and the versions of the libraries."""

    dataset: str
    seed: int = 0
    held_out: int = 5000
    features: Schedule = Schedule(steps=1000, batch=128, lr=2e-3)
    autoencoder: Schedule = Schedule(steps=2500, batch=64, lr=2e-3)
    teacher: Schedule = Schedule(steps=2000, batch=128, lr=1e-3, ema=0.998)
    student: student.Settings = student.Settings(steps=5000, adversarial=0.0, distillation=0.0)


def train(
    output: Path,
    dataset: Dataset,
    data: Path | None,
    settings: Settings,
    save_every: int = 250,
    keep_checkpoints: bool = False,
) -> None:
    """Makes the model folder ``output``; the same call continues a training that was ended early.

    Beside the weights: ``training.json``, ``log.csv``, ``losses.svg``, ``samples.png``, and ``checkpoints`` until it is done.

    Raises:
        UserError: data that can't be read or is too small, another training in ``output``, a loss that is not finite, a full disk.
    """
    border, odd = divmod(architecture.SIDE - dataset.image_size, 2)
    if border < 0 or odd:
        raise UserError(
            f"turbo-mini makes images of {architecture.SIDE} px; {dataset.name} has {dataset.image_size} px: adapt a larger model instead"
        )
    real = Real(dataset, data, settings.held_out, settings.student.real)
    journal = Journal(output, {**asdict(settings), "data_sha256": real.sha256}, save_every)
    real.device = journal.accelerator.device
    wordings = known_prompts(dataset)
    journal.seed("architecture")
    pipe = architecture.pipeline([prompt for known in wordings for prompt in known]).to(real.device)
    known = Prompts(pipe, wordings, real.device)

    features = train_features(real, settings.features, journal)
    train_autoencoder(pipe.vae, real, settings.autoencoder, journal)
    latents = encode(pipe.vae, real)
    pipe.vae.register_to_config(scaling_factor=1 / latents.std().item())
    real.latents = latents * pipe.vae.config.scaling_factor

    denoiser = Denoiser(pipe)
    teacher = train_teacher(denoiser, real, real.latents, known, settings.teacher, journal)
    pipe.vae.decoder.requires_grad_(True)  # trained on, as a part of the generator
    generator = Generator(denoiser, pipe.vae, dataset.channels, dataset.image_size, border)
    student.train_student(generator, teacher, features, real, known, settings.student, journal)
    if journal.accelerator.is_main_process:
        with saving(output):
            pipe.save_pretrained(output)
        write_manifest(journal, real, {"border": border, "licence": "Apache-2.0"})
        if not keep_checkpoints:
            journal.clear()
