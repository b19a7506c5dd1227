"""One-step text-to-image sampling in batches."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark_adapters.types import UserError, one_line

BUNDLED = {"turbo-mini": Path(__file__).parent / "turbo_mini"}
CPU_BATCH, GPU_BATCH = 50, 16
LICENCES = {"stabilityai/sdxl-turbo": "non-commercial; commercial use needs an agreement with Stability AI"}
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL converts colour to grey


class TurboSampler:
    """Prompts to images through a one-step SDXL pipeline: one step, guidance 0, trailing timesteps.

    Attributes:
        facts: what a record says of the model: ``model``, ``model_sha256``, ``model_trained_on``, ``model_licence``, ``batch``.
        border: pixels at each side of the model's images that are no part of the picture.
    """

    def __init__(self, model: str, device: str = "cpu", batch: int | None = None, lora: str | None = None) -> None:
        """Loads ``model``: a folder, a hub id, or the name of a bundled one; ``lora`` is the folder of an adapter of its UNet.

        Raises:
            UserError: there is no such model or adapter, the model is no SDXL pipeline, or the adapter is not for this model.
        """
        self.device = device
        self.batch = batch or (CPU_BATCH if device == "cpu" else GPU_BATCH)
        self.pipe, folder = load(model, device)
        card = story(folder)
        self.border = card["border"]
        self.facts = {
            "model": model if model in BUNDLED or not Path(model).exists() else Path(model).resolve().name,
            "model_sha256": weights_sha256(folder),
            "model_trained_on": card.get("trained_on", "not stated by the model"),
            "model_licence": card.get("licence") or LICENCES.get(model, "see the model's card"),
            "batch": self.batch,
            "threads": torch.get_num_threads(),
        }
        if lora:
            adapter = adapt(self.pipe, lora)
            trained_on = f"{self.facts['model_trained_on']}; its adapter: {adapter.pop('trained_on')}"
            self.facts |= {**adapter, "model": f"{self.facts['model']} + {adapter['lora']}", "model_trained_on": trained_on}
        self._embeds: dict[str, tuple[Tensor, Tensor]] = {}

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> None:
        """Computes the embeddings of the prompts that are new."""
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._embeds:
                embeds, _, pooled, _ = self.pipe.encode_prompt(prompt, device=self.device, do_classifier_free_guidance=False)
                self._embeds[prompt] = embeds, pooled

    @torch.inference_mode()
    def sample(self, prompts: Sequence[str], generators: Sequence[torch.Generator]) -> Tensor:
        """Images uint8 [n, 3, H, W] on the CPU, the border cropped; each image's noise comes from its own CPU generator.

        Batches of ``self.batch``. Equal prompts and generators in other batches give pixels that agree to rounding.
        """
        self.encode(prompts)
        size = self.pipe.unet.config.sample_size
        images = []
        for start in range(0, len(prompts), self.batch):
            part = [self._embeds[prompt] for prompt in prompts[start : start + self.batch]]
            noise = torch.stack([torch.randn(self.pipe.unet.config.in_channels, size, size, generator=g) for g in generators[start : start + self.batch]])
            pixels: Any = self.pipe(
                prompt_embeds=torch.cat([embeds for embeds, _ in part]),
                pooled_prompt_embeds=torch.cat([pooled for _, pooled in part]),
                latents=noise.to(self.device, self.pipe.unet.dtype),
                num_inference_steps=1,
                guidance_scale=0.0,
                output_type="pt",
            ).images
            images.append((pixels.float() * 255).round().clamp(0, 255).to(torch.uint8).cpu())
        edge = self.border
        return torch.cat(images)[..., edge : images[0].shape[-2] - edge, edge : images[0].shape[-1] - edge]


def generator(seed: int, label: int, index: int) -> torch.Generator:
    """The source of all randomness of one sampled image, whatever is sampled beside it."""
    digest = hashlib.blake2b(f"{seed}/{label}/{index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def fit(images: Tensor, size: int, channels: int) -> Tensor:
    """uint8 [n, 3, h, w] to uint8 [n, channels, size, size]."""
    return to_size(images.float(), size, channels).round().clamp(0, 255).to(torch.uint8)


def to_size(images: Tensor, size: int, channels: int) -> Tensor:
    """Float [n, 3, h, w] to [n, channels, size, size]: grey by ITU-R BT.601, antialiased bicubic where the size differs."""
    if channels == 1:
        images = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False)


def load(model: str, device: str, dtype: torch.dtype | None = None) -> tuple[Any, Path]:
    """The pipeline on ``device`` and the folder that it came from; ``dtype`` is float16 off the CPU and float32 on it unless given.

    Raises:
        UserError: see `TurboSampler`.
    """
    folder = locate(model)
    kind = _pipeline_class(folder)  # before the imports, which take seconds
    if not kind.startswith("StableDiffusionXL"):
        raise UserError(f"model {model} is a {kind}; generative-turbo needs an SDXL pipeline")

    from diffusers import AutoPipelineForText2Image, EulerAncestralDiscreteScheduler
    from diffusers.utils import logging

    logging.disable_progress_bar()
    dtype = dtype or (torch.float32 if device == "cpu" else torch.float16)
    variant = "fp16" if any(folder.glob("unet/*.fp16.safetensors")) else None
    try:
        pipe = AutoPipelineForText2Image.from_pretrained(
            folder, variant=variant, dtype=dtype, use_safetensors=True, local_files_only=True, add_watermarker=False
        )
    except Exception as error:  # whatever a damaged folder makes the libraries raise
        raise UserError(f"model folder {folder} can't be loaded: {one_line(error)}") from None
    if pipe.scheduler.config.get("timestep_spacing") != "trailing":
        pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device), folder


def adapt(pipe: Any, lora: str) -> dict[str, str]:
    """Adds the adapter ``lora`` to the weights of ``pipe``, as fast as without it; returns what a record says of it.

    Raises:
        UserError: see `TurboSampler`.
    """
    path = Path(lora).expanduser()
    file = path / "pytorch_lora_weights.safetensors"
    if not file.is_file():
        raise UserError(f"{path} is no folder of a LoRA adapter: it has no {file.name}; `ddbench-turbo adapt --output DIR` makes one")
    try:
        pipe.load_lora_weights(path, weight_name=file.name)
        if not pipe.get_list_adapters():
            raise ValueError("it has no weights for it")
        pipe.fuse_lora()
        pipe.unload_lora_weights()
    except Exception as error:  # wrong shapes and damaged files make the libraries raise many kinds
        raise UserError(f"adapter {path} can't be used with this model: {one_line(error)}") from None
    return {"lora": path.resolve().name, "lora_sha256": _file_sha256(file), "trained_on": story(path).get("trained_on", "not stated by the adapter")}


def _pipeline_class(folder: Path) -> str:
    try:
        return str(json.loads((folder / "model_index.json").read_text())["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder / 'model_index.json'} names no pipeline class; get the model again") from None


def story(folder: Path) -> dict[str, Any]:
    """What our own training wrote beside the weights of a model or an adapter, and for others too ``border``.

    That is the number of pixels at each side of the model's images that are no part of the picture.
    """
    file = folder / "training.json"
    try:
        found = json.loads(file.read_text()) if file.is_file() else {}
        return {**found, "border": int(found.get("border", 0))}
    except (ValueError, TypeError, AttributeError):
        raise UserError(f"{file} is damaged; get the model again, or remove the file") from None


def weights_sha256(folder: Path) -> str:
    """Hash of the names and contents of the weight files that `load` reads: fp16 ones where there are any.

    In the hub's cache a weight file links to a blob that is named by its sha256, which saves reading gigabytes.
    """
    total = hashlib.sha256()
    files = sorted(folder.glob("*/*.safetensors"))
    halves = [path for path in files if ".fp16." in path.name]
    for path in halves or files:
        blob = path.resolve().name
        content = blob if path.is_symlink() and re.fullmatch("[0-9a-f]{64}", blob) else _file_sha256(path)
        total.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def locate(model: str) -> Path:
    """The folder of ``model``, from the hub (or its cache) when it is neither bundled nor a path."""
    folder = BUNDLED.get(model, Path(model).expanduser())
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise UserError(f"{folder} is no model folder: it has no model_index.json")
        return folder
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", model):
        raise UserError(f"no model folder {model}; give a folder, a hub id such as stabilityai/sdxl-turbo, or {', '.join(BUNDLED)}")
    from diffusers import DiffusionPipeline

    try:
        try:
            return Path(DiffusionPipeline.download(model, variant="fp16", use_safetensors=True))
        except ValueError:  # a model without that variant
            return Path(DiffusionPipeline.download(model, use_safetensors=True))
    except Exception as error:  # no network, no such model, no right to it: the libraries raise many kinds
        raise UserError(
            f"model {model} is neither a folder nor in the hub's cache, and the hub did not give it ({type(error).__name__}); "
            f"run `hf download {model}` where there is a network, or give a folder with --option model=DIR"
        ) from None
