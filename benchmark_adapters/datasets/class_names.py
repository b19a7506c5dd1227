"""Class names of the built-in datasets, in label order."""

from __future__ import annotations

import json
import re
from pathlib import Path

LABELS = Path(__file__).parent / "labels"


def read_class_names(dataset: str) -> tuple[str, ...]:
    """Return the class names of a dataset."""
    return tuple(json.loads((LABELS / f"{dataset}.json").read_text()))


def read_synonyms(dataset: str) -> dict[str, tuple[str, ...]]:
    """Return the names for each WordNet ID, the class name first."""
    names = json.loads((LABELS / f"{dataset}.json").read_text())
    return {wnid: tuple(words) for wnid, words in names.items()}


def plain_name(name: str) -> str:
    """Return a name without case, spaces and punctuation, to compare it with others."""
    return re.sub(r"[\W_]+", "", name).casefold()
