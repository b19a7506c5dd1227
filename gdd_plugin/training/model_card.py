"""Write the model card of a turbo-mini model from ``training.json`` and ``scores.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import msgspec
from tabulate import tabulate

from benchmark_adapters.types import UserError
from gdd_plugin.models.training_metadata import (
    FILE_NAME,
    TrainingMetadata,
    read_training_metadata,
)
from gdd_plugin.training.evaluate import Evaluation
from gdd_plugin.training.files import reporting_errors
from gdd_plugin.training.metrics import RECIPE
from gdd_plugin.training.settings import TurboMiniSettings

SPLITS = {
    "test": "all real test images",
    "held-out": "held-out training images",
}
TEMPLATE = Path(__file__).with_name("model_card.md.template")


def write(folder: Path, evaluation: Evaluation) -> None:
    """Write ``scores.json`` and the model card, ``README.md``, to ``folder``.

    Raises:
        UserError: ``training.json`` is missing, incomplete or damaged, or a file cannot be written.
    """
    card = render(folder, evaluation)
    with reporting_errors(folder):
        scores = json.dumps(asdict(evaluation), indent=1)
        (folder / "scores.json").write_text(scores + "\n")
        (folder / "README.md").write_text(card)


def read_scores(folder: Path) -> Evaluation:
    """Read ``scores.json``.

    Raises:
        msgspec.ValidationError: the file is damaged.
    """
    return msgspec.json.decode((folder / "scores.json").read_bytes(), type=Evaluation)


def read_metadata(folder: Path) -> TrainingMetadata:
    """Read the training metadata of the model in ``folder``.

    Raises:
        UserError: ``training.json`` is missing, incomplete or damaged.
    """
    metadata = read_training_metadata(folder)
    if not (
        metadata.settings
        and metadata.trained_on
        and metadata.images
        and metadata.seconds
        and metadata.hardware
        and metadata.licence
    ):
        raise UserError(
            f"{folder / FILE_NAME} does not describe how the model was trained; "
            "model cards are only for models from `ddbench-turbo train`"
        )
    return metadata


def render(folder: Path, evaluation: Evaluation) -> str:
    """Return the text of the model card.

    Raises:
        UserError: see `read_metadata`.
    """
    metadata = read_metadata(folder)
    title = folder.resolve().name.replace("_", "-")
    return Template(TEMPLATE.read_text()).substitute(
        **_training_values(title, metadata), **_evaluation_values(evaluation)
    )


def _training_values(title: str, metadata: TrainingMetadata) -> dict[str, object]:
    settings = metadata.settings
    command = (
        f"ddbench-turbo train --dataset {settings['dataset']} "
        f"--seed {settings['seed']} --output DIR"
    )
    is_default = _is_default(settings)
    losses = [
        f"{name} {settings['student'][name]:g}"
        for name in ("matching", "adversarial", "distillation")
    ]
    return {
        "title": title,
        "dataset": settings["dataset"],
        "border": metadata.border,
        "trained_on": metadata.trained_on,
        "data": settings["data_sha256"][:16],
        "command": command,
        "other": "" if is_default else ", with non-default settings,",
        "losses": ", ".join(losses),
        "minutes": round(sum(metadata.seconds.values()) / 60),
        "cores": metadata.hardware["cores"],
        "cpu": metadata.hardware["cpu"],
        "seen": f"{metadata.images:,}",
        "licence": metadata.licence,
    }


def _evaluation_values(evaluation: Evaluation) -> dict[str, object]:
    per_class, nearest = evaluation.per_class_percent, evaluation.nearest_real_1st_percentile
    rows = [[name, recall.generated, recall.real] for name, recall in per_class.items()]
    headers = ["class", "recall %, trained on generated", "recall %, trained on real"]
    return {
        "classes": len(per_class),
        "example": list(per_class)[-2],
        "table": tabulate(rows, headers, tablefmt="github"),
        "megabytes": evaluation.megabytes,
        "split": SPLITS[evaluation.split],
        "seeds": evaluation.seeds,
        "generated": evaluation.accuracy_percent.generated,
        "real": evaluation.accuracy_percent.real,
        "share": round(100 * evaluation.share_of_real, 1),
        "variety": round(100 * evaluation.variety_share, 1),
        "nearest_generated": nearest.generated,
        "nearest_real": nearest.unseen_real,
        "milliseconds": evaluation.milliseconds_per_image,
        "batch": evaluation.batch,
        "student": RECIPE.student,
        "width": RECIPE.width,
        "steps": RECIPE.steps,
        "count": evaluation.images_per_class,
        "threads": evaluation.threads,
    }


def _is_default(settings: Mapping[str, Any]) -> bool:
    default = TurboMiniSettings(settings["dataset"], seed=settings["seed"])
    as_json = json.loads(json.dumps(asdict(default)))
    return {key: settings[key] for key in as_json} == as_json
