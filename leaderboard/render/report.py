"""One run as text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from leaderboard.analysis.stats import within
from leaderboard.records.record import Record
from leaderboard.records.store import content
from leaderboard.render import tables as table
from leaderboard.render.tables import line

LARGEST_MANIFEST = 10 * 2**20  # bytes


def describe(record: Record, folder: Path) -> str:
    """What a reader wants to know of a run, line by line; ``folder`` is its folder."""
    from tabulate import tabulate

    pictures = str(folder / "grid.png") if (folder / "grid.png").is_file() else ""
    told = {key: value for group in facts(record).values() for key, value in group.items()} | {
        "pictures": pictures
    }
    text = tabulate(
        [(key, line(value)) for key, value in told.items() if value],
        tablefmt="plain",
        disable_numparse=True,
    )
    classes = per_class(record, class_names(record, folder))
    return text + (
        "\n\n"
        + tabulate(
            [{key: line(value) for key, value in row.items()} for row in classes],
            headers="keys",
            disable_numparse=True,
        )
        if classes
        else ""
    )


def facts(record: Record) -> dict[str, dict[str, str]]:
    """What is told of a run, in groups; empty where it isn't known."""
    seconds = ", ".join(
        f"{key} {value:.1f}" for key, value in record.seconds.items() if value is not None
    )
    return {
        "result": {
            "run": record.run_id,
            "status": f"{record.status}: {record.message}" if record.message else record.status,
            "accuracy": accuracy(record),
            "ranked": "yes"
            if record.comparable
            else f"no: {'; '.join(record.not_comparable_because)}",
            "other students": _cross(record),
            "official evaluator": _official(record.facts.get("official")),
            "checks": "; ".join(map(str, _listed(record.facts.get("checks")))),
        },
        "settings": {
            "track": f"{record.track} on {record.dataset}, recipe {record.recipe}, student {record.student}",
            "method": " ".join([record.method, *record.given]),
            "images": f"{record.ipc} per class, {record.generated_per_class:g} of them sampled",
            "seed": str(record.seed),
            "time limit": "enforced" if record.limit_enforced else "declared",
            "seconds": seconds,
            "images/s": f"{record.images_per_second:.1f}" if record.images_per_second else "",
            "uses real images": "yes" if record.uses_real_data else "no",
        },
        "provenance": {
            "model": f"{record.model}, trained on {record.model_trained_on}"
            if record.model
            else "",
            "images sha256": record.images_sha256 or "",
            "made with": ", ".join(
                f"{key} {value}" for key, value in (record.hardware | record.versions).items()
            ),
        },
    }


def command(record: Record) -> str:
    """What was typed to make the run, as far as the record tells: it holds of a path the last name alone."""
    evaluation = [
        "--recipe",
        record.recipe,
        "--seed",
        str((record.seeds or [record.seed])[0]),
        "--track",
        record.track,
    ]
    if "scored_run" in record.facts:
        words = ["ddbench", "score", *evaluation]
    elif not record.limit_enforced:
        words = [
            "ddbench",
            "score",
            *evaluation,
            "--dataset",
            record.dataset,
            "--format",
            str(record.facts.get("format")),
            "--name",
            record.method,
        ]
    elif "shards" in record.facts:
        return f"ddbench merge RUN ... of {len(_listed(record.facts['shards']))} shards"
    else:
        words = [
            "ddbench",
            "run",
            "--method",
            record.method,
            "--track",
            record.track,
            "--dataset",
            record.dataset,
        ]
        words += [
            "--ipc",
            str(record.ipc_asked or "max"),
            "--seed",
            str(record.seed),
            "--time-limit",
            f"{record.seconds.get('limit') or 0:g}",
        ]
        words += [word for text in record.given for word in ("--option", text)]
        words += ["--processes", str(record.processes)] if record.processes > 1 else []
        words += ["--shard", record.shard] if record.shard else []
    students = [record.student, *record.cross]
    words += ["--repeats", str(record.repeats), "--students", ",".join(students)]
    scored = record.facts.get("scored_run") or (
        None if record.limit_enforced else record.facts.get("file", "FILE")
    )
    return shlex.join(line(word) for word in [*words, *(["--", str(scored)] if scored else [])])


def class_names(record: Record, folder: Path) -> list[str]:
    """Of the set in ``folder``, or numbers where nothing tells them."""
    count = len(record.confusion or [])
    try:
        names = json.loads(content(folder / "manifest.json", LARGEST_MANIFEST))["class_names"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        names = []
    good = isinstance(names, list) and len(names) == count
    return [line(name)[:100] for name in names] if good else [str(label) for label in range(count)]


def per_class(record: Record, names: Sequence[str]) -> list[dict[str, str]]:
    """The accuracy of each class over all seeds, and what it was most often taken for."""
    rows = []
    for label, counts in enumerate(record.confusion or []):
        most, other = max(
            ((count, other) for other, count in enumerate(counts) if other != label), default=(0, 0)
        )
        accuracy = f"{100 * counts[label] / max(sum(counts), 1):.1f}"
        rows.append(
            {
                "class": names[label],
                "accuracy %": accuracy,
                "most often taken for": f"{names[other]} ({most})" if most else "",
            }
        )
    return rows


def accuracy(record: Record) -> str:
    if record.accuracy_mean is None:
        return "not scored"
    each = " ".join(f"{100 * value:.2f}" for value in record.accuracies)
    interval = within(record.accuracy_ci95)
    bounds = f", 95 % interval {table.interval(interval)}" if interval else ""
    return f"{100 * record.accuracy_mean:.2f} %{bounds}, n = {record.n} ({each})"


def _cross(record: Record) -> str:
    """Mean accuracies of the further students."""
    return ", ".join(
        f"{name} {100 * fmean(values):.2f} % (n = {len(values)})"
        for name, values in record.cross.items()
        if values
    )


def _official(found: Any) -> str:
    """What the challenge's own evaluator said."""
    if not isinstance(found, dict):
        return ""
    on = f" on {', '.join(map(str, _listed(found.get('datasets'))))}"
    correct = found.get("correct")
    return (
        f"{100 * correct:.2f} %{on}"
        if isinstance(correct, int | float)
        else f"no score{on}: {found.get('error')}"
    )


def _listed(value: Any) -> list[Any]:
    """What a record of another tool may have put there."""
    return value if isinstance(value, list) else []
