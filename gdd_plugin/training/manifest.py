"""With what a model was made, and the words that it was taught."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from benchmark_adapters import environment as provenance
from benchmark_adapters.types import Dataset
from gdd_plugin import prompts
from gdd_plugin.training.data import Real
from gdd_plugin.training.journal import Journal, writing


def known_prompts(dataset: Dataset) -> list[list[str]]:
    """Per class, every wording that the model learns: the bare class name, then the method's templates."""
    styles = [
        prompts.class_prompts(dataset.class_names, dataset.name, style)
        for style in prompts.TEMPLATES
    ]
    return [
        list(dict.fromkeys([name, *(prompt for style in styles for prompt in style[label])]))
        for label, name in enumerate(dataset.class_names)
    ]


def write_manifest(journal: Journal, real: Real, facts: Mapping[str, Any]) -> None:
    """Writes ``training.json``."""
    commit, changed = provenance.commit()
    story = {
        "trained_on": real.trained_on,
        "images": len(real.labels),
        **facts,
        "settings": journal.settings,
        "seconds": {stage: round(seconds) for stage, seconds in journal.seconds.items()},
        "commit": commit,
        "commit_has_changes": changed,
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "threads": torch.get_num_threads(),
        "processes": journal.accelerator.num_processes,
    }
    path = journal.folder / "training.json"
    with writing(path):
        path.write_text(json.dumps(story, indent=1) + "\n")
