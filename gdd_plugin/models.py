"""One-step text-to-image models: where they are, how they are loaded, what a record says of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters.types import UserError, one_line

if TYPE_CHECKING:
    import torch

BUNDLED = {"turbo-mini": Path(__file__).parent / "turbo_mini"}
PIPELINES = ("StableDiffusionXLPipeline", "StableDiffusionPipeline")
TURBO = (
    "EulerAncestralDiscreteScheduler",
    {"timestep_spacing": "trailing"},
)  # SDXL-Turbo's scheduler
LORA = "pytorch_lora_weights.safetensors"


@dataclass(frozen=True)
class Known:
    """A model that is used by name, as its card says.

    Attributes:
        pipeline: hub id of the pipeline.
        unet: hub id and file of the UNet in the place of the pipeline's own.
        scheduler: class and settings in the place of the pipeline's own.
        timesteps: of the single step, where it is no ordinary one.
    """

    pipeline: str
    licence: str
    unet: tuple[str, str] | None = None
    scheduler: tuple[str, Mapping[str, str]] = TURBO
    timesteps: tuple[int, ...] = ()


SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
KNOWN = {
    "sdxl-turbo": Known(
        "stabilityai/sdxl-turbo",
        "non-commercial; commercial use needs an agreement with Stability AI",
    ),
    "sd-turbo": Known(
        "stabilityai/sd-turbo",
        "non-commercial; commercial use needs an agreement with Stability AI",
    ),
    "sdxl-lightning": Known(
        SDXL,
        "CreativeML Open RAIL++-M",
        ("ByteDance/SDXL-Lightning", "sdxl_lightning_1step_unet_x0.safetensors"),
        ("EulerDiscreteScheduler", {"timestep_spacing": "trailing", "prediction_type": "sample"}),
    ),
    "hyper-sd": Known(
        SDXL,
        "see the card of ByteDance/Hyper-SD; its base model's: CreativeML Open RAIL++-M",
        ("ByteDance/Hyper-SD", "Hyper-SDXL-1step-Unet.safetensors"),
        ("LCMScheduler", {}),
        timesteps=(800,),
    ),
}


@dataclass(frozen=True)
class Model:
    """A model that is here: the folder of its pipeline, and the file of its UNet where that is another one."""

    name: str
    folder: Path
    unet: Path | None = None
    known: Known | None = None
    story: Mapping[str, Any] = field(default_factory=dict)

    @property
    def border(self) -> int:
        """Pixels at each side of the model's images that are no part of the picture."""
        return int(self.story["border"])

    @property
    def weights_sha256(self) -> str:
        """Hash of the names and contents of the weight files that `load` reads: of each part the fp16 ones where it has any.

        In the hub's cache a weight file links to a blob that is named by its sha256, which saves reading gigabytes.
        """
        total = hashlib.sha256()
        for folder in sorted(path.parent for path in self.folder.glob("*/config.json")):
            files = sorted(folder.glob("*.safetensors"))
            files = [file for file in files if ".fp16." in file.name] or files
            for file in [self.unet] if self.unet and folder.name == "unet" else files:
                total.update(f"{_file_sha256(file)}  {folder.name}/{file.name}\n".encode())
        return total.hexdigest()

    @property
    def facts(self) -> dict[str, str]:
        """What a record says of the model."""
        return {
            "model": self.name,
            "model_sha256": self.weights_sha256,
            "model_trained_on": self.story.get("trained_on", "not stated by the model"),
            "model_licence": self.story.get("licence")
            or (self.known.licence if self.known else "see the model's card"),
        }


def locate(name: str) -> Model:
    """The model called ``name``: a bundled or known one, a folder, or a hub id, looked for in the hub's cache and on the hub.

    Raises:
        UserError: there is none, or it is no pipeline of `PIPELINES`.
    """
    folder = BUNDLED.get(name, Path(name).expanduser())
    known = KNOWN.get(name) or next(
        (one for one in KNOWN.values() if one.pipeline == name and not one.unet), None
    )
    unet = None
    if not folder.is_dir():
        if not known and not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
            raise UserError(
                f"no model folder {name}; give a folder, a hub id such as stabilityai/sdxl-turbo, or {', '.join([*BUNDLED, *KNOWN])}"
            )
        folder = _from_hub(
            known.pipeline if known else name, {"unet": None} if known and known.unet else {}
        )
        unet = hub_file(*known.unet) if known and known.unet else None
    if not (folder / "model_index.json").is_file():
        raise UserError(f"{folder} is no model folder: it has no model_index.json")
    kind = _pipeline_class(folder)
    if kind not in PIPELINES:
        raise UserError(
            f"model {name} is a {kind}; generative-turbo needs a {' or a '.join(PIPELINES)}"
        )
    shown = name if name in BUNDLED or not Path(name).exists() else folder.resolve().name
    return Model(shown, folder, unet, known, story(folder))


def load(model: Model, device: str, dtype: torch.dtype | None = None) -> Any:
    """The pipeline on ``device``, in ``dtype``: float16 off the CPU and float32 on it unless given. Its decoder never is in a type that it overflows in.

    Raises:
        UserError: the files are damaged.
    """
    import diffusers
    import torch
    from diffusers.utils import logging

    logging.disable_progress_bar()
    _silence_transformers()
    dtype = dtype or (torch.float32 if device == "cpu" else torch.float16)
    kind = _pipeline_class(model.folder)
    extras: dict[str, Any] = (
        {"add_watermarker": False}
        if kind == PIPELINES[0]
        else {"safety_checker": None, "requires_safety_checker": False}
    )
    try:
        if model.unet:
            extras["unet"] = _unet(model, dtype)
        variant = "fp16" if any(model.folder.glob("*/*.fp16.safetensors")) else None
        pipe = getattr(diffusers, kind).from_pretrained(
            model.folder,
            variant=variant,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            **extras,
        )
    except Exception as error:  # whatever a damaged folder makes the libraries raise
        raise UserError(f"model folder {model.folder} can't be loaded: {one_line(error)}") from None
    name, settings = model.known.scheduler if model.known else TURBO
    if model.known or pipe.scheduler.config.get("timestep_spacing") != "trailing":
        pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **settings)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(device)
    if (
        dtype == torch.float16 and pipe.vae.config.force_upcast
    ):  # once, where the pipeline would recast it at every call
        pipe.vae.to(
            torch.bfloat16
            if device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float32
        )
    return pipe


def speed_up(pipe: Any) -> None:
    """Makes ``pipe`` faster with the same results to rounding, once no more weights are added to it."""
    import torch

    for part in (pipe.unet, pipe.vae):
        _fold_upsampling(part)
        part.to(memory_format=torch.channels_last)


def _fold_upsampling(net: Any) -> None:
    """Makes each nearest-neighbour upsampling by 2 with its 3x3 convolution one transposed convolution: the same sums in 4/9 of the products.

    A 3x3 kernel over doubled pixels is a 4x4 kernel, that of the 3x3 one convolved with a box of 2x2, with stride 2.
    """
    import torch
    import torch.nn.functional as F
    from diffusers.models.upsampling import Upsample2D

    for layer in net.modules():
        if (
            isinstance(layer, Upsample2D)
            and layer.use_conv
            and layer.interpolate
            and not layer.norm
            and layer.conv.kernel_size == (3, 3)
        ):
            kernel = layer.conv.weight.detach().flip(2, 3).transpose(0, 1)
            boxes = F.conv2d(
                F.pad(kernel.float().flatten(0, 1)[:, None], [1] * 4),
                torch.ones(1, 1, 2, 2, device=kernel.device),
            )
            layer.register_buffer(
                "folded", boxes.view(*kernel.shape[:2], 4, 4).to(kernel.dtype), persistent=False
            )
            layer.forward = partial(_upsampled, layer)


def _upsampled(
    layer: Any, hidden_states: torch.Tensor, output_size: Sequence[int] | None = None
) -> torch.Tensor:
    """``output_size`` is twice that of ``hidden_states`` [n, c, h, w] wherever `_fold_upsampling` applies."""
    import torch.nn.functional as F

    return F.conv_transpose2d(hidden_states, layer.folded, layer.conv.bias, stride=2, padding=1)


def add_lora(pipe: Any, lora: str) -> dict[str, str]:
    """Adds the adapter in the folder ``lora`` to the weights of ``pipe``, as fast as without it; returns what a record says of it.

    Raises:
        UserError: there is no such adapter, or it is not for this model.
    """
    path = Path(lora).expanduser()
    file = path / LORA
    if not file.is_file():
        raise UserError(
            f"{path} is no folder of a LoRA adapter: it has no {LORA}; `ddbench-turbo adapt --output DIR` makes one"
        )
    try:
        pipe.load_lora_weights(path, weight_name=LORA)
        if not pipe.get_list_adapters():
            raise ValueError("it has no weights for it")
        pipe.fuse_lora()
        pipe.unload_lora_weights()
    except Exception as error:  # wrong shapes and damaged files make the libraries raise many kinds
        raise UserError(
            f"adapter {path} can't be used with this model: {one_line(error)}"
        ) from None
    return {
        "lora": path.resolve().name,
        "lora_sha256": _file_sha256(file),
        "trained_on": story(path).get("trained_on", "not stated by the adapter"),
    }


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


def hub_file(repository: str, name: str) -> Path:
    """One file of a repository, from the hub's cache or the hub."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name))
    except Exception as error:
        raise _out_of_reach(repository, f"{repository} {name}", error) from None


def _from_hub(repository: str, without: Mapping[str, None]) -> Path:
    """The folder of a pipeline in the hub's cache, downloaded where it is not there; parts that are named in ``without`` aren't needed."""
    from diffusers import DiffusionPipeline

    try:
        try:
            return Path(
                DiffusionPipeline.download(
                    repository, variant="fp16", use_safetensors=True, **without
                )
            )
        except ValueError:  # a model without that variant
            return Path(DiffusionPipeline.download(repository, use_safetensors=True, **without))
    except Exception as error:
        raise _out_of_reach(repository, repository, error) from None


def _out_of_reach(repository: str, wanted: str, error: Exception) -> UserError:
    """No network, no such model, no right to it: the libraries raise many kinds."""
    return UserError(
        f"model {repository} is neither a folder nor in the hub's cache, and the hub did not give it ({type(error).__name__}); "
        f"run `hf download {wanted}` where there is a network, or give a folder with --option model=DIR"
    )


def _pipeline_class(folder: Path) -> str:
    try:
        return str(json.loads((folder / "model_index.json").read_text())["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{folder / 'model_index.json'} names no pipeline class; get the model again"
        ) from None


def _unet(model: Model, dtype: torch.dtype) -> Any:
    """The UNet of ``model.unet``, whose architecture is the pipeline's own."""
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file

    assert model.unet
    with torch.device("meta"):  # no random weights for what is loaded anyway
        unet = UNet2DConditionModel.from_config(
            UNet2DConditionModel.load_config(model.folder / "unet")
        )
    unet.load_state_dict(load_file(model.unet), assign=True)
    return unet.to(dtype).eval()


def _silence_transformers() -> None:
    """Its bars show the reading of files that takes no time."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _file_sha256(path: Path) -> str:
    blob = path.resolve().name
    if path.is_symlink() and re.fullmatch("[0-9a-f]{64}", blob):
        return blob
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
