"""LoRA adapters for the UNet of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark_adapters.types import UserError, one_line
from gdd_plugin.models.loading import file_sha256
from gdd_plugin.models.training_metadata import read_training_metadata

WEIGHTS = "pytorch_lora_weights.safetensors"


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter.

    Attributes:
        name: name of its folder.
        sha256: hash of its weights.
        trained_on: description of the training images.
    """

    name: str
    sha256: str
    trained_on: str


def add_lora(pipe: Any, lora: str) -> Adapter:
    """Fuse the adapter in the folder ``lora`` into the weights of ``pipe``.

    Raises:
        UserError: there is no such adapter, or it does not fit the model.
    """
    folder = Path(lora).expanduser()
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(
            f"{folder} is not the folder of a LoRA adapter: it has no {WEIGHTS}; "
            "create one with `ddbench-turbo adapt --output DIR`"
        )
    try:
        pipe.load_lora_weights(folder, weight_name=WEIGHTS)
        if not pipe.get_list_adapters():
            raise ValueError("the adapter has no weights for the model")
        pipe.fuse_lora()
        pipe.unload_lora_weights()
    except Exception as error:
        # Wrong shapes and damaged files raise errors of many kinds.
        raise UserError(
            f"could not apply the adapter {folder} to this model: {one_line(error)}"
        ) from None
    trained_on = read_training_metadata(folder).trained_on or "not stated by the adapter"
    return Adapter(folder.resolve().name, file_sha256(weights), trained_on)
