"""A one-step model adapted to a dataset: LoRA on the UNet's attention, under the same losses."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from benchmark_adapters.types import Dataset, UserError
from gdd_plugin import sampler
from gdd_plugin.training import student
from gdd_plugin.training.data import Real
from gdd_plugin.training.denoiser import Denoiser, Generator, Prompts
from gdd_plugin.training.features import train_features
from gdd_plugin.training.journal import Journal
from gdd_plugin.training.manifest import known_prompts, write_manifest

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True)
class Settings:
    """Everything that decides the adapter, beside the data, the models' weights and the versions of the libraries."""

    dataset: str
    model: str
    teacher: str | None
    seed: int = 0
    held_out: int = 5000
    rank: int = 8
    features_steps: int = 1000
    features_batch: int = 128
    features_lr: float = 2e-3
    student: student.Settings = field(default_factory=lambda: student.Settings(steps=1000, lr=1e-3))


def adapt(output: Path, dataset: Dataset, data: Path | None, settings: Settings, save_every: int = 100, checkpointing: bool = False) -> None:
    """Writes the adapter to ``output`` as `load_lora_weights` reads it, beside what every training writes; the same call continues.

    Raises:
        UserError: as `train`; no teacher for the distillation loss, or one of another architecture than the model.
    """
    if settings.student.distillation and not settings.teacher:
        raise UserError("the distillation loss needs a teacher; give --teacher, or --distillation 0")
    real = Real(dataset, data, settings.held_out, settings.student.real)
    journal = Journal(output, {**asdict(settings), "data_sha256": real.sha256}, save_every)
    device = real.device = journal.accelerator.device
    # Always float32: `accelerate launch --mixed_precision` decides in what is computed.
    pipe, folder = sampler.load(settings.model, str(device), torch.float32)
    teacher = None
    if settings.teacher and settings.student.distillation:
        teacher = Denoiser(_teacher(settings.teacher, pipe, device)).eval().requires_grad_(False)
    journal.seed("features")
    features = train_features(real, settings.features_steps, settings.features_batch, settings.features_lr, journal)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        part.requires_grad_(False)
    journal.seed("lora")
    pipe.unet.add_adapter(LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=list(ATTENTION), init_lora_weights="gaussian"))
    if checkpointing:
        pipe.unet.enable_gradient_checkpointing()
        pipe.vae.enable_gradient_checkpointing()
    generator = Generator(Denoiser(pipe), pipe.vae, dataset.channels, dataset.image_size, sampler.border(folder))
    student.train_student(generator, teacher, features, real, Prompts(pipe, known_prompts(dataset), device), settings.student, journal)
    if journal.accelerator.is_main_process:
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.unet))
        StableDiffusionXLPipeline.save_lora_weights(output, unet_lora_layers=layers)
        write_manifest(journal, real, {"adapts": settings.model, "adapts_sha256": sampler.weights_sha256(folder)})
        journal.clear()


def _teacher(name: str, pipe: Any, device: torch.device) -> Any:
    """The pipeline ``name``, which may have been trained at another size, as SDXL was in comparison with SDXL-Turbo."""
    teacher, _ = sampler.load(name, str(device), torch.float32)
    for part in ("in_channels", "cross_attention_dim", "projection_class_embeddings_input_dim"):
        theirs, ours = teacher.unet.config[part], pipe.unet.config[part]
        if theirs != ours:
            raise UserError(f"teacher {name} has another architecture than the model: {part} {theirs}, not {ours}")
    if abs(teacher.vae.config.scaling_factor / pipe.vae.config.scaling_factor - 1) > 1e-3:
        raise UserError(
            f"teacher {name} has other latents than the model: scaling factor {teacher.vae.config.scaling_factor:.4g}, not {pipe.vae.config.scaling_factor:.4g}"
        )
    return teacher
