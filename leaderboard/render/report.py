"""One run as text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from leaderboard.analysis.stats import within
from leaderboard.files import read_bounded
from leaderboard.records.record import OfficialScore, Record
from leaderboard.render import tables as table
from leaderboard.text import one_line as line

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
        f"{key} {value:.1f}" for key, value in vars(record.seconds).items() if value is not None
    )
    return {
        "result": {
            "run": record.run_id,
            "status": f"{record.status}: {record.message}" if record.message else record.status,
            "accuracy": accuracy(record),
            "ranked": "yes"
            if record.comparable
            else f"no: {'; '.join(reason.text for reason in record.not_comparable_because)}",
            "other students": _cross(record),
            "official evaluator": _official(record.official),
            "checks": "; ".join(f"{check.level}: {check.text}" for check in record.checks),
        },
        "settings": {
            "track": f"{record.track} on {record.dataset}, recipe {record.recipe}, student {record.student}",
            "method": " ".join([record.method, *record.explicit_options]),
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
    if record.origin.kind == "run":
        words = ["ddbench", "score", *evaluation]
    elif record.origin.kind == "file":
        words = [
            "ddbench",
            "score",
            *evaluation,
            "--dataset",
            record.dataset,
            "--format",
            str(record.origin.format),
            "--name",
            record.method,
        ]
    elif record.origin.kind == "shards":
        return f"ddbench merge RUN ... of {len(record.origin.shards)} shards"
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
            f"{record.seconds.limit or 0:g}",
        ]
        words += [word for text in record.explicit_options for word in ("--option", text)]
        words += ["--processes", str(record.processes)] if record.processes > 1 else []
        words += ["--shard", record.shard] if record.shard else []
    students = [record.student, *record.other_students]
    words += ["--repeats", str(record.repeats), "--students", ",".join(students)]
    scored = {"run": record.origin.run_id, "file": record.origin.file or "FILE"}.get(
        record.origin.kind
    )
    return shlex.join(line(word) for word in [*words, *(["--", str(scored)] if scored else [])])


def class_names(record: Record, folder: Path) -> list[str]:
    """Of the set in ``folder``, or numbers where nothing tells them."""
    count = len(record.confusion or [])
    try:
        names = json.loads(read_bounded(folder / "manifest.json", LARGEST_MANIFEST))["class_names"]
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
        for name, values in record.other_students.items()
        if values
    )


def _official(score: OfficialScore | None) -> str:
    """What the challenge's own evaluator said."""
    if score is None:
        return ""
    on = f" on {', '.join(score.datasets)}"
    if score.correct is None:
        return f"no score{on}: {score.error}"
    return f"{100 * score.correct:.2f} %{on}"
