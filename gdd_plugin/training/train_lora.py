"""Adapt a one-step model to a dataset with LoRA on the UNet's attention and the same losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from diffusers.training_utils import cast_training_params
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from benchmark_adapters.types import Dataset, UserError
from gdd_plugin.models import loading
from gdd_plugin.models.backbones import SDXL
from gdd_plugin.models.loading import LocatedModel
from gdd_plugin.training.data import RealImages
from gdd_plugin.training.files import reporting_library_errors
from gdd_plugin.training.metadata import training_metadata, write_training_metadata
from gdd_plugin.training.networks import Denoiser, Generator
from gdd_plugin.training.prompts import PromptSampler, training_prompts
from gdd_plugin.training.run import TrainingRun
from gdd_plugin.training.settings import LoraSettings
from gdd_plugin.training.stages.features import train_features
from gdd_plugin.training.stages.student import Supervision, train_student

# Schedulers whose single step `Denoiser` computes.
EULER = ("EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler")
# Data type of frozen weights, by the precision of the computation (`accelerate launch
# --mixed_precision`).
FROZEN_DTYPE = {"fp16": torch.float16, "bf16": torch.bfloat16}
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
# Largest relative difference between the latent scaling factors of the teacher and the model.
MAX_SCALING_DIFFERENCE = 1e-3


def train_lora(
    output: Path,
    dataset: Dataset,
    data: Path | None,
    settings: LoraSettings,
    save_every: int = 250,
    gradient_checkpointing: bool = False,
) -> None:
    """Train an adapter and save it in the format that ``load_lora_weights`` reads.

    The same call continues a training run that was interrupted.

    Args:
        output: folder for the adapter, and for the other files that `train_turbo_mini` writes.
        dataset: dataset whose training split is used.
        data: folder that contains the dataset; None: search the default locations.
        settings: everything else that determines the adapter.
        save_every: steps between checkpoints.
        gradient_checkpointing: use less memory and more time.

    Raises:
        UserError: the model or the teacher cannot be loaded or is not supported, runs sample the
            model with another step than is trained, the distillation loss has no teacher, the
            teacher does not fit the model, the data cannot be read or is too small, ``output``
            contains a different training run, a loss is not finite, or a file cannot be written.
    """
    models = _locate_models(settings)
    images = RealImages(dataset, data, settings.held_out, settings.student.real)
    hashes = [model.weights_sha256 for model in models]
    run = TrainingRun(
        output,
        {**asdict(settings), "data_sha256": images.sha256, "weights_sha256": hashes},
        save_every,
    )
    images.device = run.device
    dtype = FROZEN_DTYPE.get(run.accelerator.mixed_precision, torch.float32)
    pipe = _load(models[0], run.device, dtype)
    _require_direct_step(models[0], pipe)
    teacher = _load_teacher(models, pipe, run.device, dtype) if models[1:] else None
    run.seed("features")
    features = train_features(images, settings.features, run)
    _add_adapter(pipe, settings.rank, run)
    if gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
        pipe.vae.enable_gradient_checkpointing()
    generator = Generator(
        Denoiser(pipe),
        pipe.vae,
        dataset.channels,
        dataset.image_size,
        models[0].training.border,
    )
    prompts = PromptSampler(pipe, training_prompts(dataset), run.device)
    supervision = Supervision(features, images, prompts, teacher)
    train_student(generator, supervision, settings.student, run)
    if run.is_main_process:
        _save_adapter(pipe, output)
        metadata = training_metadata(run, images, adapts=settings.model, adapts_sha256=hashes[0])
        write_training_metadata(run, metadata)
        run.clear()


def _locate_models(settings: LoraSettings) -> list[LocatedModel]:
    """Return the model, and the teacher if the distillation loss has a nonzero weight."""
    names = [settings.model]
    if settings.student.distillation:
        if not settings.teacher:
            raise UserError(
                "the distillation loss needs a teacher; set --teacher, or use --distillation 0"
            )
        names.append(settings.teacher)
    return [loading.locate(name) for name in names]


def _load(
    model: LocatedModel, device: torch.device, dtype: torch.dtype, without: Sequence[str] = ()
) -> Any:
    """Load a pipeline, leaving out some networks, and check that `Denoiser` supports it."""
    pipe = loading.load(model, str(device), dtype, without)
    is_sdxl = isinstance(pipe, StableDiffusionXLPipeline)
    if not is_sdxl or pipe.scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
        raise UserError(
            f"{model.name} is not supported: adapting needs an SDXL pipeline with epsilon or "
            "v prediction"
        )
    return pipe


def _require_direct_step(model: LocatedModel, pipe: Any) -> None:
    """Raise `UserError` if a run would sample with another step than `Denoiser` trains."""
    kind = type(pipe.scheduler).__name__
    timesteps = model.spec.timesteps if model.spec else ()
    if kind not in EULER or timesteps:
        step = f" at timestep {timesteps[0]}" if timesteps else ""
        raise UserError(
            f"{model.name} is not supported: adapting trains the Euler step from the last "
            f"timestep, but this model is sampled with {kind}{step}"
        )


def _load_teacher(
    models: Sequence[LocatedModel], pipe: Any, device: torch.device, dtype: torch.dtype
) -> Denoiser:
    """Load a frozen teacher for ``pipe``, the first of two models.

    Its image size may differ from the model's, as SDXL's differs from that of SDXL-Turbo. It has no
    decoder. If its text encoders are equal to the model's, it uses those.
    """
    model, name = models[1], models[1].name
    encoders = [text for text in SDXL.text_encoders if _are_equal(models, text)]
    teacher = _load(model, device, dtype, ["vae", *encoders])
    for encoder in encoders:
        setattr(teacher, encoder, getattr(pipe, encoder))
    for part in ("in_channels", "cross_attention_dim", "projection_class_embeddings_input_dim"):
        theirs, ours = teacher.unet.config[part], pipe.unet.config[part]
        if theirs != ours:
            raise UserError(
                f"teacher {name} has a different architecture from the model: "
                f"{part} is {theirs}, not {ours}"
            )
    if teacher.tokenizer.get_vocab() != pipe.tokenizer.get_vocab():
        raise UserError(f"teacher {name} has a different tokenizer from the model")
    with torch.device("meta"):
        decoder = AutoencoderKL.from_config(AutoencoderKL.load_config(model.folder / "vae"))
    theirs, ours = decoder.config.scaling_factor, pipe.vae.config.scaling_factor
    if abs(theirs / ours - 1) > MAX_SCALING_DIFFERENCE:
        raise UserError(
            f"teacher {name} has different latents from the model: "
            f"the scaling factor is {theirs:.4g}, not {ours:.4g}"
        )
    return Denoiser(teacher).eval().requires_grad_(False)


def _are_equal(models: Sequence[LocatedModel], network: str) -> bool:
    """Return whether a network has the same weight files in both models."""
    if any(model.checkpoint for model in models):
        return models[0].weights_sha256 == models[1].weights_sha256
    hashes = [
        sorted(loading.file_sha256(file) for file in model.weights_of(network)) for model in models
    ]
    return hashes[0] == hashes[1]


def _add_adapter(pipe: Any, rank: int, run: TrainingRun) -> None:
    """Freeze the whole pipeline, and add trainable LoRA matrices to its UNet."""
    for network in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        network.requires_grad_(False)
    run.seed("lora")
    config = LoraConfig(
        r=rank, lora_alpha=rank, target_modules=list(ATTENTION), init_lora_weights="gaussian"
    )
    pipe.unet.add_adapter(config)
    cast_training_params(pipe.unet, torch.float32)
    _compute_in_float32(pipe.unet.conv_out)


def _compute_in_float32(layer: torch.nn.Conv2d) -> None:
    """Compute the last layer in float32, because the step multiplies its rounding errors by 14."""
    layer.float()

    def forward(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            return F.conv2d(inputs.float(), layer.weight, layer.bias, padding=layer.padding)

    layer.forward = forward  # type: ignore[method-assign, assignment]


def _save_adapter(pipe: Any, output: Path) -> None:
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.unet))
    with reporting_library_errors(output):
        StableDiffusionXLPipeline.save_lora_weights(output, unet_lora_layers=layers)
