"""Keep local paths out of records, so that they reveal nothing about the machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def redact_paths(text: str) -> str:
    """Shorten each path outside the working directory to its last component."""
    text = text.replace(f"{Path.cwd()}/", "")
    return re.sub(r"(?<![\w:/])(?:file:)?(?:~\w*|\.\.?)?/+(?:[^\s/,;'\"]+/)*(?=[^\s/])", "", text)


def redacted(value: Any) -> Any:
    """Apply `redact_paths` to every string in a JSON value."""
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return redact_paths(value) if isinstance(value, str) else value


def option_value(value: Any) -> Any:
    """Return an option's value for the record; only the last component of a path is kept."""
    is_path = isinstance(value, str) and re.match(r"~|\.{0,2}/", value)
    return Path(value).name if is_path else value


def folder_name(name: str) -> str:
    """Return a folder name for a team's name, which may contain any characters."""
    short = re.sub(r"[^\w.-]+", "-", name).strip(".-").encode("utf-8", "ignore")[:100]
    return short.decode("utf-8", "ignore") or "unnamed"
