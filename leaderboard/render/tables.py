"""Rows as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import msgspec

from leaderboard.analysis.published import Reference
from leaderboard.analysis.ranking import Row
from leaderboard.analysis.sections import Section
from leaderboard.analysis.stats import within
from leaderboard.text import one_line as line

FORMATS = ("github", "plain", "csv", "latex", "json")
PLAIN = (
    "rank",
    "method",
    "IPC",
    "accuracy %",
    "95 % interval",
    "n",
    "images/s",
    "time s",
    "limit s",
    "status",
    "run",
)  # what a terminal has room for
STYLES = {
    "github": ("### ", "github"),
    "plain": ("", "simple"),
    "latex": ("% ", "latex_booktabs"),
}  # mark of a title, tabulate's name
EMPTY = "no runs yet; make one with `ddbench run --method generative-turbo`"


def render(sections: Sequence[Section], style: str = "github") -> str:
    """`board.sections` as text in one of `FORMATS`: the columns of `cells`, in ``plain`` those of `PLAIN`, in ``json`` all that the records hold.

    CSV and JSON hold the runs alone, the others also means over datasets and published results, in tables of their own.
    """
    rows = [row for section in sections for row in section.rows]
    if style == "json":
        return json.dumps(msgspec.to_builtins(rows), indent=1)
    if style == "csv":
        return _csv(
            [
                {"track": line(row["track"]), "dataset": line(row["dataset"]), **cells(row)}
                for row in rows
            ]
        )
    tables: list[tuple[str, list[dict[str, str]]]] = []
    for section in sections:
        tables += [(f"{section.track}, {title}", found) for title, found in texts(section)]
        of_dataset = section.published.items()
        tables += [
            (
                f"{section.track}, {published_title(dataset)}",
                [reference_cells(one) for one in found],
            )
            for dataset, found in of_dataset
        ]
    return (
        "\n\n".join(
            _titled(title, [_chosen(row, style) for row in rows], style) for title, rows in tables
        )
        or EMPTY
    )


def texts(section: Section) -> list[tuple[str, list[dict[str, str]]]]:
    """The tables of a track, means first: title, and the texts of each row."""
    found = [
        (f"mean over {rows[0]['dataset']}{_declared(enforced)}", [mean_cells(row) for row in rows])
        for enforced, rows in section.means.items()
    ]
    return found + [
        (f"{dataset}{_declared(enforced)}", [cells(row) for row in rows])
        for (dataset, enforced), rows in section.tables.items()
    ]


def published_title(dataset: str) -> str:
    return f"{dataset}: published results, for orientation and not ranked"


def _declared(enforced: bool) -> str:
    return "" if enforced else ": sets from files, time limit declared"


def _chosen(row: dict[str, str], style: str) -> dict[str, str]:
    return {name: row[name] for name in PLAIN} if style == "plain" and "run" in row else row


def _titled(heading: str, rows: Sequence[dict[str, str]], style: str) -> str:
    from tabulate import tabulate

    mark, name = STYLES[style]
    safe = [
        {_escape(key, style): _escape(value, style) for key, value in row.items()} for row in rows
    ]
    return f"{mark}{_escape(heading, style)}\n\n" + tabulate(
        safe, headers="keys", tablefmt=name, disable_numparse=True
    )


def _csv(rows: Sequence[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _no_formula(line(value)) for key, value in row.items()} for row in rows)
    return out.getvalue().rstrip("\n")


def cells(row: Row) -> dict[str, str]:
    """The columns that a reader needs, as text."""
    found = {
        "rank": row["rank"],
        "method": name(row),
        "IPC": str(row["ipc"]),
        **_score(row),
        "images/s": number(row["images_per_second"], 1, 1),
        "time s": number(made(row), 1, 1),
        "limit s": number(row["seconds"].limit, 1, 0)
        + ("" if row["limit_enforced"] else " (declared)"),
        "model": row["model"] or "",
        "hardware": _hardware(row),
        "date": row["created"][:10],
        "status": _status(row),
        "run": row["run_id"],
    }
    return {key: line(text) for key, text in found.items()}


def mean_cells(row: Row) -> dict[str, str]:
    """The columns of `ranking.means`; without a mean where a dataset is missing."""
    each = {
        f"{dataset} %": number(row["runs"][dataset]["accuracy_mean"], 100, 2)
        if dataset in row["runs"]
        else ""
        for dataset in row["datasets"]
    }
    ipc = ", ".join(
        dict.fromkeys(
            str(row["runs"][dataset]["ipc"])
            for dataset in row["datasets"]
            if dataset in row["runs"]
        )
    )
    score = _score(row)
    return {
        "rank": row["rank"],
        "method": name(row),
        "IPC": ipc,
        **each,
        "mean %": score.pop("accuracy %"),
        **score,
        "missing": row["missing"],
    }


def reference_cells(one: Reference) -> dict[str, str]:
    """The columns of a published result."""
    return {
        "method": one.method,
        "IPC": str(one.ipc or "all"),
        "accuracy %": number(
            one.accuracy, 100, 1 if round(one.accuracy * 1000, 6).is_integer() else 2
        ),
        "student": one.student,
        "protocol": one.protocol,
        "source": one.source if one.verified else " ".join(["unverified", one.source]).strip(),
    }


def name(row: Row) -> str:
    """The method with the options that were given, or the team."""
    return line(" ".join([row["method"], *row["explicit_options"]]))


def made(row: Row) -> float | None:
    """Seconds that making the set took, model loading included; None where nobody saw it."""
    load = row["seconds"].load
    return None if load is None else float(load + (row["seconds"].generate or 0))


def _score(row: Row) -> dict[str, str]:
    bounds = within(row["accuracy_ci95"])
    return {
        "accuracy %": number(row["accuracy_mean"], 100, 2),
        "95 % interval": interval(bounds) if bounds else "",
        "n": str(row["n"]),
    }


def interval(bounds: tuple[float, float]) -> str:
    return f"{100 * bounds[0]:.2f} to {100 * bounds[1]:.2f}"


def _hardware(row: Row) -> str:
    """What did the sampling: the GPU, or else the processor. Of a set from a file nobody knows."""
    if not row["limit_enforced"]:
        return ""
    hardware = row["hardware"]
    if hardware.get("gpu"):
        return (
            f"{hardware['gpus']}x {hardware['gpu']}"
            if hardware.get("gpus", 1) != 1
            else str(hardware["gpu"])
        )
    cores = hardware.get("cores")
    return str(hardware.get("cpu") or row["device"] or "") + (f", {cores} cores" if cores else "")


def _status(row: Row) -> str:
    """The status, and why a run that went well is not ranked."""
    if row["status"] != "ok" or row["comparable"]:
        return str(row["status"])
    return (
        f"ok, not comparable: {'; '.join(reason.text for reason in row['not_comparable_because'])}"
    )


def number(value: float | None, factor: float, digits: int) -> str:
    return "" if value is None else f"{factor * value:.{digits}f}"


def _no_formula(text: str) -> str:
    """A spreadsheet would compute what begins like this."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _escape(text: str, style: str) -> str:
    """Names come from strangers: keep them inside their cell. tabulate escapes LaTeX by itself."""
    return (
        line(text)
        .replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("[", "\\[")
        if style == "github"
        else line(text)
    )
