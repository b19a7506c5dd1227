"""Keep a machine's folders out of records: a record tells nothing of where it was made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def redact_paths(text: str) -> str:
    """Cut each path outside of the working directory to its last name."""
    text = text.replace(f"{Path.cwd()}/", "")
    return re.sub(r"(?<![\w:/])(?:file:)?(?:~\w*|\.\.?)?/+(?:[^\s/,;'\"]+/)*(?=[^\s/])", "", text)


def redacted(value: Any) -> Any:
    """Return ``value``, as JSON has it, with `redact_paths` on each text in it."""
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return redact_paths(value) if isinstance(value, str) else value


def option_value(value: Any) -> Any:
    """Return an option's value for the record: the last name of a path, others as they are."""
    is_path = isinstance(value, str) and re.match(r"~|\.{0,2}/", value)
    return Path(value).name if is_path else value


def folder_name(name: str) -> str:
    """Return a team's name, which may hold anything, as the name of a folder."""
    short = re.sub(r"[^\w.-]+", "-", name).strip(".-").encode("utf-8", "ignore")[:100]
    return short.decode("utf-8", "ignore") or "unnamed"
