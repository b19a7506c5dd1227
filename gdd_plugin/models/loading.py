"""Find a model's files and load its pipeline."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import fetch_diffusers_config
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from benchmark_adapters.types import UserError, one_line
from gdd_plugin.models import hub, registry
from gdd_plugin.models.backbones import BACKBONES
from gdd_plugin.models.registry import BUNDLED, ModelSpec
from gdd_plugin.models.training_metadata import TrainingMetadata, read_training_metadata

# Words in the names of classes whose pipelines need an image too, or consist of several pipelines.
OTHERS = ("Control", "Inpaint", "Combined", "Kontext")
# Classes of pipelines that make images from texts alone.
TEXT_TO_IMAGE = {
    kind.__name__
    for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()
    if not any(word in kind.__name__ for word in OTHERS)
}
# Weights that every checkpoint of Stable Diffusion or SDXL in a single file has.
CHECKPOINT_KEY = "model.diffusion_model.input_blocks.0.0.weight"
HUB_ID = r"[\w-][\w.-]*/[\w.-]+"


@dataclass(frozen=True)
class LocatedModel:
    """A model whose files are on this machine.

    Attributes:
        folder: folder of the pipeline.
        unet: file with the weights of the UNet; None: the pipeline's own weights.
        checkpoint: file with the weights of all networks; None: they are in ``folder``.
        spec: the registry entry of a model that is known by name.
        training: metadata that training wrote; empty for models trained elsewhere.
    """

    name: str
    folder: Path
    unet: Path | None = None
    checkpoint: Path | None = None
    spec: ModelSpec | None = None
    training: TrainingMetadata = field(default_factory=TrainingMetadata)

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the names and contents of the weight files that `load` reads.

        For a network with fp16 files, only these are included.
        """
        if self.checkpoint:
            return file_sha256(self.checkpoint)
        total = hashlib.sha256()
        for folder in sorted(path.parent for path in self.folder.glob("*/config.json")):
            for file in self.weights_of(folder.name):
                total.update(f"{file_sha256(file)}  {folder.name}/{file.name}\n".encode())
        return total.hexdigest()

    def weights_of(self, network: str) -> list[Path]:
        """Return the weight files of a network that `load` reads, unless they are a checkpoint."""
        if self.unet and network == "unet":
            return [self.unet]
        files = sorted((self.folder / network).glob("*.safetensors"))
        return [file for file in files if ".fp16." in file.name] or files

    @property
    def sources(self) -> list[Path]:
        """The folder and the file that it is loaded from."""
        return [self.folder, *(path for path in (self.unet, self.checkpoint) if path)]

    @property
    def trained_on(self) -> str:
        """Description of the training images."""
        return self.training.trained_on or "not stated by the model"

    @property
    def licence(self) -> str:
        """The licence, or where to find it."""
        known = self.spec.licence if self.spec else "see the model's card"
        return self.training.licence or known


def locate(name: str) -> LocatedModel:
    """Find the model ``name``: a bundled model, a known name, a folder, a file or a Hub ID.

    Models that are not on this machine are taken from the Hub cache, or downloaded.

    Raises:
        UserError: the model does not exist or cannot be downloaded, its files are damaged, or its
            pipeline class is not supported.
    """
    if Path(name).expanduser().suffix == ".safetensors":
        return _locate_checkpoint(Path(name).expanduser())
    folder, unet = BUNDLED.get(name, Path(name).expanduser()), None
    spec = registry.find_spec(name)
    # A folder with the name of a known model, where a command happens to run, is not meant.
    is_known = name in {**BUNDLED, **registry.KNOWN}
    if name in registry.KNOWN or not folder.is_dir():
        if not spec and not re.fullmatch(HUB_ID, name):
            raise UserError(
                f"no model folder {name}; use a folder, a file FILE.safetensors, a Hugging Face "
                "Hub ID such as stabilityai/sdxl-turbo, or one of "
                f"{', '.join([*BUNDLED, *registry.KNOWN])}"
            )
        replaced = ["unet"] if spec and spec.unet else []
        folder = hub.find_pipeline(spec.pipeline if spec else name, replaced)
        unet = hub.find_file(spec.unet) if spec and spec.unet else None
    if not (folder / "model_index.json").is_file():
        raise UserError(f"{folder} is not a model folder: it has no model_index.json")
    _require_text_to_image(pipeline_class(folder), name)
    shown = name if is_known or not Path(name).exists() else folder.resolve().name
    training = read_training_metadata(folder)
    return LocatedModel(shown, folder, unet, spec=spec, training=training)


def _locate_checkpoint(file: Path) -> LocatedModel:
    """Find the pipeline that a checkpoint in a single file belongs to, without its weights.

    Raises:
        UserError: the file cannot be read, or the pipeline cannot be downloaded.
    """
    try:
        shapes = _shapes(file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"could not read the checkpoint {file}: {one_line(error)}") from None
    if CHECKPOINT_KEY not in shapes:
        raise UserError(
            f"{file} is not a whole checkpoint of Stable Diffusion; "
            "for an adapter, add --option lora=DIR"
        )
    repository = fetch_diffusers_config(shapes)["pretrained_model_name_or_path"]
    folder = hub.find_pipeline(repository, hub.NETWORKS)
    kind = pipeline_class(folder)
    if kind not in BACKBONES:
        raise UserError(f"{file} is a checkpoint of a {kind}; use its folder or Hub ID instead")
    return LocatedModel(file.name, folder, checkpoint=file)


def _shapes(file: Path) -> dict[str, Tensor]:
    """Return tensors without values for all weights in a file."""
    with safe_open(file, "pt") as weights:
        return {
            name: torch.empty(weights.get_slice(name).get_shape(), device="meta")
            for name in weights.keys()  # noqa: SIM118 (not a dict)
        }


def _require_text_to_image(kind: str, model: str) -> None:
    """Raise `UserError` if pipelines of the class ``kind`` don't make images from texts alone."""
    if kind not in BACKBONES and kind not in TEXT_TO_IMAGE:
        raise UserError(f"model {model} is a {kind}, which makes no images from prompts alone")


def load(
    model: LocatedModel,
    device: str,
    dtype: torch.dtype | None = None,
    without: Sequence[str] = (),
) -> Any:
    """Load the pipeline of ``model`` on ``device``, leaving out the networks in ``without``.

    ``dtype`` defaults to float32 on a CPU and float16 on other devices. A decoder that overflows in
    float16 is loaded with another dtype.

    Raises:
        UserError: the files are damaged.
    """
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    dtype = dtype or (torch.float32 if device == "cpu" else torch.float16)
    try:
        pipe = _from_pretrained(model, dtype, without)
    except Exception as error:
        # A damaged folder raises errors of many kinds.
        raise UserError(
            f"could not load the model {model.name} from "
            f"{' and '.join(str(path) for path in model.sources)}: {one_line(error)}"
        ) from None
    if type(pipe).__name__ in BACKBONES:
        _set_scheduler(pipe, model.spec)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(device)
    # Cast the decoder once. The pipeline would cast it again at every call.
    vae = getattr(pipe, "vae", None)
    if dtype == torch.float16 and vae is not None and vae.config.get("force_upcast"):
        vae.to(wide_half(device))
    return pipe


def _set_scheduler(pipe: Any, spec: ModelSpec | None) -> None:
    """Replace the scheduler by that of ``spec``, or by one that suits models of one step."""
    scheduler = spec.scheduler if spec else registry.TURBO_SCHEDULER
    if spec or pipe.scheduler.config.get("timestep_spacing") != "trailing":
        kind = getattr(diffusers, scheduler.class_name)
        pipe.scheduler = kind.from_config(pipe.scheduler.config, **scheduler.settings)


def _from_pretrained(model: LocatedModel, dtype: torch.dtype, without: Sequence[str]) -> Any:
    name = pipeline_class(model.folder)
    options = dict(BACKBONES[name].load_options) if name in BACKBONES else {}
    options |= dict.fromkeys(without)
    kind = getattr(diffusers, name)
    if model.checkpoint:
        config = str(model.folder)
        return kind.from_single_file(
            model.checkpoint, config=config, dtype=dtype, local_files_only=True, **options
        )
    if model.unet:
        options["unet"] = _load_unet(model.folder, model.unet, dtype)
    return kind.from_pretrained(
        model.folder,
        variant="fp16" if any(model.folder.glob("*/*.fp16.safetensors")) else None,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        **options,
    )


def _load_unet(pipeline: Path, weights: Path, dtype: torch.dtype) -> Any:
    """Load ``weights`` into a UNet with the architecture described in the folder ``pipeline``."""
    kind = diffusers.UNet2DConditionModel
    # Do not initialise weights that are replaced anyway.
    with torch.device("meta"):
        unet = kind.from_config(kind.load_config(pipeline / "unet"))
    read = {name: values.to(dtype) for name, values in _read_weights(weights).items()}
    unet.load_state_dict(read, assign=True)
    return unet.eval()


def _read_weights(file: Path) -> dict[str, Tensor]:
    """Read weights from a safetensors file, or from a pickle of which nothing is executed."""
    if file.suffix == ".safetensors":
        return load_file(file)
    weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights


def wide_half(device: str) -> torch.dtype:
    """Return a data type with float32's range: bfloat16 where a GPU supports it, else float32."""
    has_bfloat16 = device.startswith("cuda") and torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    return torch.bfloat16 if has_bfloat16 else torch.float32


def pipeline_class(folder: Path) -> str:
    """Return the class of the pipeline in ``folder``.

    Raises:
        UserError: the folder's index is missing or damaged.
    """
    try:
        return str(json.loads((folder / "model_index.json").read_text())["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{folder / 'model_index.json'} does not name a pipeline class; "
            "download the model again"
        ) from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file.

    In the Hub cache, a weight file is a link to a blob that is named after its SHA-256. Using that
    name saves reading gigabytes.
    """
    blob = path.resolve().name
    if path.is_symlink() and re.fullmatch("[0-9a-f]{64}", blob):
        return blob
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
