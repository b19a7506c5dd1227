"""One run as text."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from leaderboard.record import Record


def describe(record: Record, folder: Path) -> str:
    """What a reader wants to know of a run, line by line; ``folder`` is its folder."""
    from tabulate import tabulate

    seconds = record.seconds
    facts: dict[str, Any] = {
        "run": record.run_id,
        "status": f"{record.status}: {record.message}" if record.message else record.status,
        "track": f"{record.track} on {record.dataset}, recipe {record.recipe}, student {record.student}",
        "method": " ".join([record.method, *record.given]),
        "images": f"{record.ipc} per class, {record.generated_per_class:g} of them sampled",
        "accuracy": _accuracy(record),
        "other students": _cross(record),
        "official evaluator": _official(record.facts.get("official")),
        "checks": "; ".join(map(str, record.facts.get("checks", []))),
        "ranked": "yes" if record.comparable else f"no: {'; '.join(record.not_comparable_because)}",
        "time limit": "enforced" if record.limit_enforced else "declared",
        "seconds": ", ".join(f"{key} {value:.1f}" for key, value in seconds.items() if value is not None),
        "images/s": f"{record.images_per_second:.1f}" if record.images_per_second else "",
        "model": f"{record.model}, trained on {record.model_trained_on}" if record.model else "",
        "uses real images": "yes" if record.uses_real_data else "no",
        "seed": record.seed,
        "images sha256": record.images_sha256 or "",
        "made with": ", ".join(f"{key} {value}" for key, value in (record.hardware | record.versions).items()),
        "pictures": folder / "grid.png" if (folder / "grid.png").is_file() else "",
    }
    text = tabulate([(key, value) for key, value in facts.items() if value != ""], tablefmt="plain", disable_numparse=True)
    return text + _per_class(record, folder)


def _accuracy(record: Record) -> str:
    if record.accuracy_mean is None:
        return "not scored"
    each = " ".join(f"{100 * value:.2f}" for value in record.accuracies)
    interval = record.accuracy_ci95
    bounds = f", 95 % interval {100 * interval[0]:.2f} to {100 * interval[1]:.2f}" if interval else ""
    return f"{100 * record.accuracy_mean:.2f} %{bounds}, n = {record.n} ({each})"


def _cross(record: Record) -> str:
    """Mean accuracies of the further students."""
    return ", ".join(f"{name} {100 * fmean(values):.2f} % (n = {len(values)})" for name, values in record.cross.items() if values)


def _official(found: Any) -> str:
    """What the challenge's own evaluator said."""
    if not isinstance(found, dict):
        return ""
    on = f" on {', '.join(found.get('datasets', []))}"
    return f"no score{on}: {found['error']}" if "error" in found else f"{100 * found['correct']:.2f} %{on}"


def _per_class(record: Record, folder: Path) -> str:
    """A table of the accuracy of each class over all seeds."""
    from tabulate import tabulate

    if not record.confusion:
        return ""
    try:
        names = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["class_names"]
    except (OSError, ValueError, KeyError):
        names = [str(label) for label in range(len(record.confusion))]
    rows = []
    for label, counts in enumerate(record.confusion):
        worst = max((count, other) for other, count in enumerate(counts) if other != label)
        rows.append((names[label], f"{100 * counts[label] / max(sum(counts), 1):.1f}", f"{names[worst[1]]} ({worst[0]})" if worst[0] else ""))
    return "\n\n" + tabulate(rows, headers=["class", "accuracy %", "most often taken for"], disable_numparse=True)
