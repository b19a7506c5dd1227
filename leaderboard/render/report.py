"""Describe one run as text: result, settings, provenance and the command that reproduces it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from leaderboard.analysis import classes
from leaderboard.analysis.classes import ClassAccuracy
from leaderboard.files import read_bounded
from leaderboard.records.record import OfficialScore, Record, ScoringRuntime
from leaderboard.render import columns, image_kinds, tables
from leaderboard.render.columns import Table, percent
from leaderboard.text import one_line, plural

MAX_MANIFEST_BYTES = 10 * 2**20
# Characters of a class name.
MAX_CLASS_NAME = 100


@dataclass(frozen=True)
class Details:
    """Details of a run in groups: texts by label. A text is empty if the value is unknown."""

    result: dict[str, str]
    settings: dict[str, str]
    provenance: dict[str, str]


# Stand for a file or folder in a command, because a record keeps no path.
TRACK_FILE, REFERENCE = "FILE.toml", "dataset_reference"


def describe(record: Record, folder: Path) -> str:
    """Return the details of the run in ``folder``, one per line, and its accuracy by class."""
    from tabulate import tabulate

    parts = details(record)
    grid = folder / "grid.png"
    lines = parts.result | parts.settings | parts.provenance
    lines |= {"image grid": str(grid) if grid.is_file() else ""}
    lines |= {"command": command(record), "repeat with": rerun(record)}
    shown = [(label, one_line(text)) for label, text in lines.items() if text]
    text = tabulate(shown, tablefmt="plain", disable_numparse=True)
    by_class = class_table(record, class_names(record, folder))
    return f"{text}\n\n{tables.text(by_class)}" if by_class.rows else text


def details(record: Record) -> Details:
    """Return the details of a run in groups."""
    return Details(_result(record), _settings(record), _provenance(record))


def _result(record: Record) -> dict[str, str]:
    return {
        "run": record.run_id,
        "status": f"{record.status}: {record.message}" if record.message else record.status,
        "accuracy": accuracy(record),
        "ranked": "yes" if record.comparable else f"no: {columns.reasons(record)}",
        "other students": _other_students(record),
        "official evaluator": _official(record.official),
        "checks": "; ".join(f"{check.level}: {check.text}" for check in record.checks),
    }


def _settings(record: Record) -> dict[str, str]:
    times = vars(record.seconds).items()
    track = f"{record.track} on {record.dataset}"
    kind = record.metadata.get("images")
    sampled = f"{record.generated_per_class:g} of them sampled" + (f"; {kind}" if kind else "")
    speed = record.images_per_second
    return {
        "track": f"{track}, recipe {record.recipe}, student {record.student}",
        "method": " ".join([record.method, *record.explicit_options]),
        "images": f"{record.ipc} per class, {sampled}",
        "seed": str(record.seed),
        "time limit": "enforced" if record.limit_enforced else "declared",
        "seconds": ", ".join(f"{key} {value:.1f}" for key, value in times if value is not None),
        "device-seconds": _device_seconds(record),
        "sessions": _sessions(record),
        "images/s": f"{speed:.1f}" if speed else "",
        "uses real images": image_kinds.real_data(record),
    }


def _provenance(record: Record) -> dict[str, str]:
    machine = (record.hardware | record.versions).items()
    trained = f"{record.model}, trained on {record.model_trained_on}"
    return {
        "date": record.created,
        "image source": _source(record),
        "model": trained if record.model else "",
        "model licence": record.model_licence or "",
        "images sha256": record.images_sha256 or "",
        "environment": ", ".join(f"{key} {value}" for key, value in machine),
        "scoring": _runtime(record.scoring),
    }


def _source(record: Record) -> str:
    """Return the source of the images, or an empty text if the method sampled them in this run."""
    origin = record.origin
    match origin.kind:
        case "file":
            form = f", format {origin.format}" if origin.format else ""
            side = origin.image_size
            size = f", pictures resized to {side}x{side} pixels" if side else ""
            return f"file {origin.file}{form}{size}" if origin.file else ""
        case "run":
            return f"run {origin.run_id}"
        case "shards":
            return f"shards {', '.join(shard.run_id for shard in origin.shards)}"
        case "method":
            return f"rerun of {origin.reruns}" if origin.reruns else ""


def _device_seconds(record: Record) -> str:
    """Return the time to generate the set, times the devices that did."""
    if record.device_seconds is None or record.devices is None:
        return ""
    count = f"{record.devices} {plural(record.devices, 'device')}"
    return f"{record.device_seconds:.1f} on {count}"


def _sessions(record: Record) -> str:
    """Return when a run that was resumed began and went on, and with what."""
    parts = []
    for one in record.sessions:
        sampled = f", {one.used:.1f} s with seed {one.seed}" if one.stage == "sampling" else ""
        parts.append(f"{one.stage} {one.started}{sampled}")
    old = f"; goes on from run {record.origin.resumes}" if record.origin.resumes else ""
    return "; ".join(parts) + old


def _runtime(scoring: ScoringRuntime | None) -> str:
    if scoring is None:
        return ""
    backends = ", ".join(f"{name}: {backend}" for name, backend in scoring.backends.items())
    threads = f"{scoring.threads} {plural(scoring.threads, 'thread')}"
    parts = [scoring.device, threads, backends, scoring.fallback]
    return ", ".join(part for part in parts if part)


def command(record: Record) -> str:
    """Return the command that created the run, as far as the record contains it.

    A record contains only the last component of a path.
    """
    match record.origin.kind:
        case "method":
            words = ["ddbench", "run", *_sampling(record), *_evaluation(record)]
        case "run":
            words = ["ddbench", "score", *_scoring(record), *_evaluation(record)]
            words += ["--", str(record.origin.run_id)]
        case "file":
            words = ["ddbench", "score", *_scoring(record), "--dataset", _dataset(record)]
            words += ["--format", record.origin.format] if record.origin.format else []
            size = record.origin.image_size
            words += ["--image-size", str(size)] if size else []
            words += ["--name", record.method, *_evaluation(record)]
            words += ["--", record.origin.file or "FILE"]
        case "shards":
            count = len(record.origin.shards)
            track = f" --track {TRACK_FILE}" if record.rules else ""
            return f"ddbench merge RUN ...{track} ({count} {plural(count, 'shard')})"
    return shlex.join(one_line(word) for word in words)


def rerun(record: Record) -> str:
    """Return the command that repeats the run."""
    words = ["ddbench", "rerun", record.run_id]
    if record.rules:
        words += ["--track", TRACK_FILE]
    elif REFERENCE in record.metadata:
        words += ["--dataset", _dataset(record)]
    return shlex.join(one_line(word) for word in words)


def _track(record: Record) -> str:
    """Return the name of a track, or what stands for its file."""
    return TRACK_FILE if record.rules else record.track


def _dataset(record: Record) -> str:
    """Return the name of a dataset, or how a folder was named that no track file knows."""
    return record.dataset if record.rules else str(record.metadata.get(REFERENCE, record.dataset))


def _sampling(record: Record) -> list[str]:
    limit = f"{record.seconds.limit or 0:g}"
    file = record.metadata.get("method_file")
    method = f"{file}:{record.method}" if file else record.method
    words = ["--method", method, "--track", _track(record), "--dataset", _dataset(record)]
    words += ["--ipc", str(record.ipc_asked or "max"), "--seed", str(record.seed)]
    words += ["--time-limit", limit]
    words += [word for text in record.explicit_options for word in ("--option", text)]
    words += ["--processes", str(record.processes)] if record.processes > 1 else []
    return words + (["--shard", record.shard] if record.shard else [])


def _scoring(record: Record) -> list[str]:
    first_seed = record.seeds[0] if record.seeds else record.seed
    return ["--recipe", record.recipe, "--seed", str(first_seed), "--track", record.track]


def _evaluation(record: Record) -> list[str]:
    students = ",".join([record.student, *record.other_students])
    words = ["--repeats", str(record.repeats), "--students", students]
    requested = record.scoring.requested if record.scoring else None
    return words if requested in (None, "auto") else [*words, "--backend", requested]


def class_names(record: Record, folder: Path) -> list[str]:
    """Return the class names from the manifest in ``folder``, or numbers if it has none."""
    count = len(record.confusion or [])
    try:
        text = read_bounded(folder / "manifest.json", MAX_MANIFEST_BYTES)
        names = json.loads(text)["class_names"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        names = []
    if isinstance(names, list) and len(names) == count:
        return [one_line(name)[:MAX_CLASS_NAME] for name in names]
    return [str(label) for label in range(count)]


def class_table(record: Record, names: Sequence[str]) -> Table[ClassAccuracy]:
    """Return the table of the accuracy of each class, without rows if the run was not scored."""
    rows = classes.accuracies(record, names)
    return Table("Accuracy of each class over all seeds", columns.CLASS, rows)


def accuracy(record: Record) -> str:
    """Return the score, its interval and the accuracy of each seed."""
    if record.accuracy_mean is None:
        return "not scored"
    each = " ".join(percent(value) for value in record.accuracies)
    bounds = columns.interval(record.accuracy_ci95)
    interval = f", 95 % interval {bounds}" if bounds else ""
    return f"{percent(record.accuracy_mean)} %{interval}, n = {record.n} ({each})"


def _other_students(record: Record) -> str:
    return ", ".join(
        f"{name} {percent(fmean(values))} % (n = {len(values)})"
        for name, values in record.other_students.items()
        if values
    )


def _official(score: OfficialScore | None) -> str:
    if score is None:
        return ""
    datasets = ", ".join(score.datasets)
    if score.correct is None:
        return f"no score on {datasets}: {score.error}"
    return f"{percent(score.correct)} % on {datasets}"
