"""Records to rows, ranked where that is fair."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from leaderboard.analysis import stats
from leaderboard.records.record import Record

Row = dict[str, Any]
FIELDS = tuple(field.name for field in dataclasses.fields(Record))


def rows(records: Iterable[Record], track: str | None = None) -> list[Row]:
    """A row for each run: its fields, ``rank`` (text, empty where not ranked) and ``n``; best first within a track and dataset.

    Runs of a track with equal images, recipe, student and seeds count once: the oldest comparable one. Ranked together are the comparable
    runs of one track, dataset and division; those whose time limit was enforced apart from those that only declare it.
    """
    kept = distinct(record for record in records if track in (None, record.track))
    order = sorted(
        kept,
        key=lambda r: (
            r.track,
            r.dataset,
            not r.limit_enforced,
            r.category,
            -_mean_or_less(r.accuracy_mean),
            r.created,
        ),
    )
    result = [
        {**{name: getattr(record, name) for name in FIELDS}, "rank": "", "n": record.n}
        for record in order
    ]
    _rank(
        row for row in result if row["status"] == "ok" and row["comparable"] and row["accuracies"]
    )
    return result


def means(table: Iterable[Row], datasets: Mapping[str, Sequence[str]]) -> list[Row]:
    """The score of a track over several datasets, the mean over them: a row for each entrant with a comparable run, best first, ``dataset`` the names of all.

    An entrant is a method with its options, model and seed, or a team. ``datasets`` of each track. ``runs`` holds by dataset the run that
    counts, the oldest comparable one; where one is missing, or the evaluation seeds are not the same, there is no mean, and ``missing`` says why.
    """
    entrants: dict[Any, Row] = {}
    for row in sorted(table, key=lambda row: row["created"]):
        of_track = datasets.get(row["track"], ())
        if len(of_track) < 2 or row["dataset"] not in of_track:
            continue
        who = (
            row["track"],
            row["method"],
            tuple(row["explicit_options"]),
            row["model"],
            row["seed"],
            row["limit_enforced"],
            row["category"],
        )
        names = (
            "track",
            "method",
            "explicit_options",
            "model",
            "seed",
            "limit_enforced",
            "category",
            "created",
        )
        entrant = entrants.setdefault(
            who,
            {
                **{name: row[name] for name in names},
                "dataset": " and ".join(of_track),
                "datasets": of_track,
                "runs": {},
            },
        )
        if row["status"] == "ok" and row["comparable"] and row["accuracies"]:
            entrant["runs"].setdefault(row["dataset"], row)
    result = [
        {**entrant, **_mean(entrant), "rank": ""}
        for entrant in entrants.values()
        if entrant["runs"]
    ]
    result.sort(
        key=lambda row: (
            row["track"],
            not row["limit_enforced"],
            row["category"],
            -_mean_or_less(row["accuracy_mean"]),
            row["created"],
        )
    )
    _rank(row for row in result if row["accuracies"])
    return result


def _mean(entrant: Row) -> Row:
    """Over the datasets of each seed, and over the seeds."""
    runs = entrant["runs"]
    missing = [f"no comparable run on {name}" for name in entrant["datasets"] if name not in runs]
    if not missing and len({tuple(run["seeds"]) for run in runs.values()}) > 1:
        missing = ["runs with different evaluation seeds"]
    accuracies = (
        []
        if missing
        else [
            fmean(values)
            for values in zip(*(run["accuracies"] for run in runs.values()), strict=True)
        ]
    )
    mean, spread, interval = stats.summary(accuracies)
    return {
        "accuracies": accuracies,
        "accuracy_mean": mean,
        "accuracy_std": spread,
        "accuracy_ci95": interval,
        "n": len(accuracies),
        "missing": "; ".join(missing),
    }


def _mean_or_less(mean: float | None) -> float:
    """For sorting: what has no score is below what scored nothing."""
    return -1.0 if mean is None else mean


def _rank(chosen: Iterable[Row]) -> None:
    """Ranks, among those that may be compared."""
    groups: dict[tuple[str, str, str, bool], list[Row]] = {}
    for row in chosen:
        groups.setdefault(
            (row["track"], row["dataset"], row["category"], row["limit_enforced"]), []
        ).append(row)
    for group in groups.values():
        for row, rank in zip(group, stats.ranks([row["accuracies"] for row in group]), strict=True):
            row["rank"] = rank


def distinct(records: Iterable[Record]) -> list[Record]:
    """Each run once, however many stores it lies in."""
    return [same[0] for same in _groups(records)]


def conflicts(records: Iterable[Record]) -> list[str]:
    """A line for each run that another one with the same images, recipe and seeds stands for, with other accuracies: one is wrong, or rounds differently."""
    return [
        f"{other.run_id} ({other.method}, {100 * (other.accuracy_mean or 0):.2f} %) is no row, since {same[0].run_id} ({same[0].method}, "
        f"{100 * (same[0].accuracy_mean or 0):.2f} %) has the same images, recipe and seeds; their accuracies differ"
        for same in _groups(records)
        for other in same[1:]
        if other.accuracies != same[0].accuracies
    ]


def _groups(records: Iterable[Record]) -> list[list[Record]]:
    """Runs that count once, the one that counts first."""
    seen: dict[Any, list[Record]] = {}
    for record in sorted(
        records, key=lambda r: (not r.comparable, not r.limit_enforced, r.created, r.run_id)
    ):
        same = (
            record.track,
            record.images_sha256,
            record.dataset,
            record.recipe_sha256,
            record.student,
            tuple(record.seeds),
        )
        itself = (record.run_id, record.track, record.dataset, record.method)
        seen.setdefault(same if record.images_sha256 and record.accuracies else itself, []).append(
            record
        )
    return list(seen.values())
