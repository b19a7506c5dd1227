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
    """Return the metadata of a finished training run.

    Args:
        run: the training run.
        images: the real images it was trained on.
        border: pixels on each side of the model's images that are not part of the picture.
        licence: licence of a model; None for adapters.
        adapts: for an adapter, the model it was trained for.
        adapts_sha256: for an adapter, the hash of that model's weights.

    Returns:
        The contents of ``training.json``.
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
    """Write ``metadata`` to the folder of the run, leaving out fields with default values.

    Raises:
        UserError: the file cannot be written.
    """
    defaults = vars(TrainingMetadata())
    entries = {key: value for key, value in vars(metadata).items() if value != defaults[key]}
    path = run.folder / FILE_NAME
    with reporting_errors(path):
        path.write_text(json.dumps(entries, indent=1) + "\n")
