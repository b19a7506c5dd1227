"""Write ``training.json``."""

from __future__ import annotations

import json

import torch

from benchmark_adapters import environment
from gdd_plugin.models.training_metadata import FILE_NAME, TrainingMetadata
from gdd_plugin.training.data import RealImages
from gdd_plugin.training.files import reporting_errors
from gdd_plugin.training.run import TrainingRun


def training_metadata(
    run: TrainingRun,
    images: RealImages,
    border: int = 0,
    licence: str | None = None,
    adapts: str | None = None,
    adapts_sha256: str | None = None,
) -> TrainingMetadata:
    """Return the metadata of a training that is done.

    Args:
        run: the training.
        images: that it drew from.
        border: pixels on each side of the model's images that don't belong to the picture.
        licence: of a model.
        adapts: the model that an adapter is for.
        adapts_sha256: hash of that model's weights.
    """
    commit, has_changes = environment.commit()
    return TrainingMetadata(
        trained_on=images.trained_on,
        images=len(images.labels),
        border=border,
        licence=licence,
        adapts=adapts,
        adapts_sha256=adapts_sha256,
        settings=run.settings,
        seconds={stage: round(seconds) for stage, seconds in run.seconds.items()},
        commit=commit,
        commit_has_changes=has_changes,
        versions=environment.versions(),
        hardware=environment.hardware(),
        threads=torch.get_num_threads(),
        processes=run.accelerator.num_processes,
    )


def write_training_metadata(run: TrainingRun, metadata: TrainingMetadata) -> None:
    """Write ``metadata`` into the training's folder, without fields that say nothing.

    Raises:
        UserError: the file can't be written.
    """
    nothing = vars(TrainingMetadata())
    entries = {key: value for key, value in vars(metadata).items() if value != nothing[key]}
    path = run.folder / FILE_NAME
    with reporting_errors(path):
        path.write_text(json.dumps(entries, indent=1) + "\n")
