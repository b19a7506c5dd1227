"""Records to rows, ranked where that is fair, and rows to text."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from leaderboard import stats
from leaderboard.record import Record

Row = dict[str, Any]
FORMATS = ("github", "plain", "csv", "latex", "json")
PLAIN = ("rank", "method", "IPC", "accuracy %", "95 % interval", "n", "images/s", "time s", "limit s", "status", "run")  # what a terminal has room for


def rows(records: Iterable[Record], track: str | None = None) -> list[Row]:
    """A row for each run: its fields, ``rank`` (text, empty where not ranked) and ``n``; best first within a track and dataset.

    Runs of a track with equal images, recipe, student and seeds count once: the oldest comparable one. Ranked together are the comparable
    runs of one track, dataset and division; those whose time limit was enforced apart from those that only declare it.
    """
    kept = _distinct(record for record in records if track in (None, record.track))
    order = sorted(kept, key=lambda r: (r.track, r.dataset, not r.limit_enforced, r.division, -(r.accuracy_mean or -1), r.created))
    result = [{**dataclasses.asdict(record), "rank": "", "n": record.n} for record in order]
    groups: dict[tuple[str, str, str, bool], list[Row]] = {}
    for row, record in zip(result, order, strict=True):
        if record.status == "ok" and record.comparable and record.accuracies:
            groups.setdefault((record.track, record.dataset, record.division, record.limit_enforced), []).append(row)
    for group in groups.values():
        for row, rank in zip(group, stats.ranks([row["accuracies"] for row in group]), strict=True):
            row["rank"] = rank
    return result


def render(table: Sequence[Row], style: str = "github") -> str:
    """``table`` as text in one of `FORMATS`; for readers all but ``json`` hold the columns of `_cells`."""
    if style == "json":
        return json.dumps(list(table), indent=1)
    if style == "csv":
        return _csv(table)
    if not table:
        return "no runs yet; make one with `ddbench run --method generative-turbo`"
    groups: dict[str, list[dict[str, str]]] = {}
    for row in table:
        title = f"{row['track']}, {row['dataset']}" + ("" if row["limit_enforced"] else ": sets from files, time limit declared")
        groups.setdefault(title, []).append(_cells(row))
    return "\n\n".join(_titled(title, cells, style) for title, cells in groups.items())


def _titled(title: str, cells: Sequence[dict[str, str]], style: str) -> str:
    from tabulate import tabulate

    mark, name = {"github": ("### ", "github"), "plain": ("", "simple"), "latex": ("% ", "latex_booktabs")}[style]
    columns = PLAIN if style == "plain" else tuple(cells[0])
    safe = [{key: _escape(row[key]) if style == "github" else row[key] for key in columns} for row in cells]
    return f"{mark}{title}\n\n" + tabulate(safe, headers="keys", tablefmt=name, disable_numparse=True)


def _csv(table: Sequence[Row]) -> str:
    cells = [{key: _no_formula(value) for key, value in {"track": row["track"], "dataset": row["dataset"], **_cells(row)}.items()} for row in table]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(cells[0]) if cells else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    return out.getvalue().rstrip("\n")


def _distinct(records: Iterable[Record]) -> list[Record]:
    seen: dict[Any, Record] = {}
    for record in sorted(records, key=lambda r: (not r.comparable, not r.limit_enforced, r.created, r.run_id)):
        same = (record.track, record.images_sha256, record.dataset, record.recipe_sha256, record.student, tuple(record.seeds))
        seen.setdefault(same if record.images_sha256 and record.accuracies else record.run_id, record)
    return list(seen.values())


def _cells(row: Row) -> dict[str, str]:
    """The columns that a reader needs, as text."""
    low_high = row["accuracy_ci95"]
    seconds = row["seconds"]
    made = None if seconds.get("load") is None else seconds["load"] + (seconds.get("generate") or 0)
    return {
        "rank": row["rank"],
        "method": " ".join(" ".join([row["method"], *row["given"]]).split()),
        "IPC": str(row["ipc"]),
        "accuracy %": _number(row["accuracy_mean"], 100, 2),
        "95 % interval": f"{100 * max(low_high[0], 0):.2f} to {100 * min(low_high[1], 1):.2f}" if low_high else "",
        "n": str(row["n"]),
        "images/s": _number(row["images_per_second"], 1, 1),
        "time s": _number(made, 1, 1),
        "limit s": _number(seconds.get("limit"), 1, 0) + ("" if row["limit_enforced"] else " (declared)"),
        "model": row["model"] or "",
        "device": row["device"] or "",
        "date": row["created"][:10],
        "status": _status(row),
        "run": row["run_id"],
    }


def _status(row: Row) -> str:
    """The status, and why a run that went well is not ranked."""
    if row["status"] != "ok" or row["comparable"]:
        return str(row["status"])
    return f"ok, not comparable: {'; '.join(row['not_comparable_because'])}"


def _number(value: float | None, factor: float, digits: int) -> str:
    return "" if value is None else f"{factor * value:.{digits}f}"


def _no_formula(text: str) -> str:
    """A spreadsheet would compute what begins like this."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _escape(text: str) -> str:
    """Names come from strangers: keep them inside their cell."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[").split())
