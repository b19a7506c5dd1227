"""A one-step model adapted to a dataset: LoRA on the UNet's attention, under the same losses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from benchmark_adapters.types import Dataset, UserError
from gdd_plugin import models
from gdd_plugin.training import student
from gdd_plugin.training.data import Real
from gdd_plugin.training.denoiser import Denoiser, Generator, Prompts
from gdd_plugin.training.features import train_features
from gdd_plugin.training.journal import Journal, Schedule, saving
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
    features: Schedule = Schedule(steps=1000, batch=128, lr=2e-3)
    student: student.Settings = student.Settings(steps=1000, lr=1e-3)


def adapt(
    output: Path,
    dataset: Dataset,
    data: Path | None,
    settings: Settings,
    save_every: int = 250,
    gradient_checkpointing: bool = False,
) -> None:
    """Writes the adapter to ``output`` as `load_lora_weights` reads it, beside what every training writes; the same call continues.

    Raises:
        UserError: as `train`; no teacher for the distillation loss, or one of another architecture than the model.
    """
    if settings.student.distillation and not settings.teacher:
        raise UserError(
            "the distillation loss needs a teacher; give --teacher, or --distillation 0"
        )
    real = Real(dataset, data, settings.held_out, settings.student.real)
    needed = [
        settings.model,
        *([settings.teacher] if settings.teacher and settings.student.distillation else []),
    ]
    found = [models.locate(name) for name in needed]
    hashes = [one.weights_sha256 for one in found]
    journal = Journal(
        output,
        {**asdict(settings), "data_sha256": real.sha256, "weights_sha256": hashes},
        save_every,
    )
    device = real.device = journal.accelerator.device
    # Always float32: `accelerate launch --mixed_precision` decides in what is computed.
    pipe = models.load(found[0], str(device), torch.float32)
    _check_kind(found[0].name, pipe)
    teacher = (
        Denoiser(_teacher(found[1], pipe, device)).eval().requires_grad_(False)
        if found[1:]
        else None
    )
    journal.seed("features")
    features = train_features(real, settings.features, journal)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        part.requires_grad_(False)
    journal.seed("lora")
    pipe.unet.add_adapter(
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.rank,
            target_modules=list(ATTENTION),
            init_lora_weights="gaussian",
        )
    )
    if gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
        pipe.vae.enable_gradient_checkpointing()
    generator = Generator(
        Denoiser(pipe), pipe.vae, dataset.channels, dataset.image_size, found[0].border
    )
    student.train_student(
        generator,
        teacher,
        features,
        real,
        Prompts(pipe, known_prompts(dataset), device),
        settings.student,
        journal,
    )
    if journal.accelerator.is_main_process:
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.unet))
        with saving(output):
            StableDiffusionXLPipeline.save_lora_weights(output, unet_lora_layers=layers)
        write_manifest(journal, real, {"adapts": settings.model, "adapts_sha256": hashes[0]})
        journal.clear()


def _check_kind(name: str, pipe: Any) -> None:
    """Raises unless `Denoiser` computes what the pipeline does."""
    if not isinstance(
        pipe, StableDiffusionXLPipeline
    ) or pipe.scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
        raise UserError(
            f"{name} is no SDXL pipeline with epsilon or v prediction, and only these can be adapted"
        )


def _teacher(model: models.Model, pipe: Any, device: torch.device) -> Any:
    """The pipeline of ``model``, which may have been trained at another size, as SDXL was in comparison with SDXL-Turbo."""
    teacher, name = models.load(model, str(device), torch.float32), model.name
    _check_kind(name, teacher)
    for part in ("in_channels", "cross_attention_dim", "projection_class_embeddings_input_dim"):
        theirs, ours = teacher.unet.config[part], pipe.unet.config[part]
        if theirs != ours:
            raise UserError(
                f"teacher {name} has another architecture than the model: {part} {theirs}, not {ours}"
            )
    if teacher.tokenizer.get_vocab() != pipe.tokenizer.get_vocab():
        raise UserError(f"teacher {name} has another tokenizer than the model")
    if abs(teacher.vae.config.scaling_factor / pipe.vae.config.scaling_factor - 1) > 1e-3:
        raise UserError(
            f"teacher {name} has other latents than the model: scaling factor {teacher.vae.config.scaling_factor:.4g}, not {pipe.vae.config.scaling_factor:.4g}"
        )
    return teacher
