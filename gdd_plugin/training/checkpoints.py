"""Checkpoints of a training stage: the states of its parts, the step and the elapsed time."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from benchmark_adapters.types import UserError, one_line
from gdd_plugin.training.files import replacing


class Stateful(Protocol):
    """A part of a training stage whose state is saved in a checkpoint."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class TrainedParameters:
    """The trained parameters of a network. In an adapted model, they are a thousandth of all."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def state_dict(self) -> dict[str, Any]:
        return {
            name: parameter.detach()
            for name, parameter in self.network.named_parameters()
            if parameter.requires_grad
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict.keys() != self.state_dict().keys():
            raise ValueError("the parameters belong to another network")
        self.network.load_state_dict(state_dict, strict=False)


@dataclass(frozen=True)
class Progress:
    """The number of finished steps, and the time they took."""

    step: int = 0
    seconds: float = 0.0


def save_checkpoint(path: Path, progress: Progress, parts: Mapping[str, Stateful]) -> None:
    """Save the states of ``parts`` by name.

    Raises:
        UserError: the file cannot be written. An earlier checkpoint is left intact.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    content = io.BytesIO()
    torch.save({"step": progress.step, "seconds": progress.seconds, "states": states}, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path, parts: Mapping[str, Stateful]) -> Progress | None:
    """Restore the states of ``parts`` by name; return None if there is no checkpoint.

    Raises:
        UserError: the checkpoint is damaged, or it belongs to other parts.
    """
    if not path.exists():
        return None
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(checkpoint["states"][name])
        return Progress(int(checkpoint["step"]), float(checkpoint["seconds"]))
    except Exception as error:
        # For a damaged file, torch raises errors of many kinds.
        raise UserError(
            f"could not load the checkpoint {path} ({one_line(error)}); to restart from this "
            "stage, delete it and the checkpoints of later stages"
        ) from None
