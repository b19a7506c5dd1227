"""Upgrade records of earlier schemas to the current one, as plain dicts before validation.

Schemas 1 and 2 stored in text what later code needs as fields. This is the only module that parses
that text. A value of an unexpected type is passed on, and validation then names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeGuard

Values = dict[str, Any]

# Codes of reasons, and patterns for the beginning of their text in schema 2.
REASONS = (
    ("status", r"status \w"),
    ("time-limit", r"limit .* s instead of "),
    ("ipc", r"IPC \d+ instead of "),
    ("merged", r"joined from \d+ shards"),
    ("repeats", r"\d+ repeats instead of "),
    ("recipe", r"recipe .* instead of "),
    ("student", r"student \w"),
    ("test-images", r"\d+ test images instead of "),
    ("shard", r"shard \d+ of \d+"),
)
RENAMED = {"given": "explicit_options", "division": "category", "cross": "other_students"}


def upgrade(values: Values, newest: int) -> Values:
    """Return ``values``, which may be of any schema from 1 on, upgraded to schema ``newest``."""
    for older in range(values["schema"], newest):
        values = _MIGRATIONS[older](values)
    return values


def _from_1(values: Values) -> Values:
    """Upgrade from schema 1, which lacked ``repeats`` and stored ``processes`` in ``facts``."""
    accuracies, facts = values.get("accuracies"), values.get("facts")
    processes = 1
    if isinstance(facts, dict):
        facts = dict(facts)
        processes = facts.pop("processes", 1)
    repeats = len(accuracies) if isinstance(accuracies, list) else 0
    return {**values, "schema": 2, "facts": facts, "repeats": repeats, "processes": processes}


def _from_2(values: Values) -> Values:
    """Upgrade from schema 2: old field names, reasons and failures as prose, untyped ``facts``."""
    new = {RENAMED.get(name, name): value for name, value in values.items()}
    facts = new.pop("facts", {})
    reasons = new.get("not_comparable_because")
    if isinstance(reasons, list):
        new["not_comparable_because"] = [_reason(text) for text in reasons]
    if isinstance(facts, dict):
        new |= _from_facts(facts, declared=values.get("limit_enforced") is False)
    else:
        new |= {"metadata": facts, "origin": {}}
    return new | _failure(new) | {"schema": 3}


def _reason(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    codes = (code for code, pattern in REASONS if re.match(pattern, text))
    return {"code": next(codes, "unknown"), "text": text}


def _failure(values: Values) -> Values:
    """Return ``failed_stage`` and ``interrupted``, derived from the status and the message."""
    status, message = values.get("status"), str(values.get("message"))
    if status not in ("error", "invalid"):
        return {"failed_stage": None, "interrupted": False}
    if status == "error" and message.startswith("scoring failed"):
        stage = "scoring"
    else:
        stage = "reading" if values["origin"].get("kind") in ("file", "run") else "sampling"
    return {"failed_stage": stage, "interrupted": status == "error" and "interrupted" in message}


def _from_facts(facts: Values, declared: bool) -> Values:
    """Return the fields that schema 2 stored in ``facts``. The remaining facts become ``metadata``.

    ``declared`` means that the time limit was not enforced, as for every set from a file.
    """
    metadata = dict(facts)
    fields: Values = {"origin": _origin(metadata, declared)}
    scoring = metadata.get("scored_on")
    if _holds(scoring, device=str, threads=int):
        fields["scoring"] = {name: scoring[name] for name in ("device", "threads")}
        del metadata["scored_on"]
    official = metadata.get("official")
    number = float | int | None
    if _holds(official, correct=number, seconds=number, error=str | None, datasets=list):
        fields["official"] = official
        del metadata["official"]
    checks = metadata.get("checks")
    if isinstance(checks, list) and all(isinstance(text, str) for text in checks):
        fields["checks"] = [_finding(text) for text in metadata.pop("checks")]
    if isinstance(metadata.get("model_licence"), str):
        fields["model_licence"] = metadata.pop("model_licence")
    return {**fields, "metadata": metadata}


def _origin(metadata: Values, declared: bool) -> Values:
    """Return the origin of the images, and remove its facts from ``metadata``."""
    origin: Values = {"kind": "file" if declared else "method"}
    names = {"file": "file", "format": "format", "scored_run": "run_id", "repeats_run": "reruns"}
    for fact, name in names.items():
        if isinstance(metadata.get(fact), str):
            origin[name] = metadata.pop(fact)
    shards = metadata.get("shards")
    if isinstance(shards, list) and all(_holds(shard, run_id=str) for shard in shards):
        origin |= {"kind": "shards", "shards": metadata.pop("shards")}
    if "run_id" in origin:
        origin["kind"] = "run"
    return origin


def _finding(text: str) -> Values:
    level, mark, rest = text.partition(": ")
    if mark and level in ("error", "warning", "note"):
        return {"level": level, "text": rest}
    return {"level": "note", "text": text}


def _holds(value: Any, **types: Any) -> TypeGuard[Values]:
    """Return whether ``value`` is a dict with entries of these types; missing ones are None."""
    return isinstance(value, dict) and all(
        isinstance(value.get(name), expected) for name, expected in types.items()
    )


_MIGRATIONS: dict[int, Callable[[Values], Values]] = {1: _from_1, 2: _from_2}
