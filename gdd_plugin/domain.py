"""Whether a model knows the classes of a dataset, in words for people."""

from __future__ import annotations

from benchmark_adapters.types import Dataset
from gdd_plugin.settings import MODEL_OF_DATASET

TRAIN = "train a small one: ddbench-turbo train --dataset DATASET"


def missing_default(dataset: Dataset, problem: object) -> str:
    """Return the message if the default model for a dataset can't be loaded."""
    known = ", ".join(MODEL_OF_DATASET)
    return f"the bundled model knows only {known}, not {dataset.name}: {problem}; or {TRAIN}"


def mismatch(model: str, model_dataset: str | None, dataset: Dataset) -> str:
    """Return a warning if a model was trained on another dataset alone; else an empty text."""
    if model_dataset in (None, dataset.name):
        return ""
    return (
        f"model {model} was trained on {model_dataset} alone, not on the classes of "
        f"{dataset.name}; choose a text-to-image model with --option model=NAME, or {TRAIN}"
    )
