"""Read ``training.json``, which training writes next to the weights of a model or an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmark_adapters.types import UserError

FILE_NAME = "training.json"


@dataclass(frozen=True, kw_only=True)
class TrainingMetadata:
    """How a model or an adapter was trained. For models from elsewhere, all fields are defaults.

    Attributes:
        trained_on: description of the training images; None: unknown.
        images: number of training images.
        border: pixels on each side of the model's images that are not part of the picture.
        adapts, adapts_sha256: for an adapter, the model it was trained for, and the hash of that
            model's weights.
        settings: everything that determines the weights, including the hash of the data.
        seconds: time spent in each stage.
        commit, commit_has_changes: the checkout that trained the model, and whether it had
            uncommitted changes.
    """

    trained_on: str | None = None
    images: int | None = None
    border: int = 0
    licence: str | None = None
    adapts: str | None = None
    adapts_sha256: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    commit: str | None = None
    commit_has_changes: bool | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: Mapping[str, str | int | float] = field(default_factory=dict)
    threads: int | None = None
    processes: int | None = None


def read_training_metadata(folder: Path) -> TrainingMetadata:
    """Read the training metadata of the model or adapter in ``folder``.

    Without the file, all fields are defaults.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return TrainingMetadata()
    try:
        return msgspec.json.decode(file.read_bytes(), type=TrainingMetadata)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UserError(
            f"{file} is damaged; get a new copy of the model, or delete the file"
        ) from None
