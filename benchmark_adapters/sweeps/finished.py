"""Find the finished runs of what a sweep wants, so that they are not made again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark_adapters.runs.redaction import option_value
from benchmark_adapters.runs.request import RunPlan, ScoringPlan
from leaderboard.records.record import Record


class Finished:
    """The finished runs with status ``ok``, by what is quick to compare."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_name: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
        for record in records:
            if record.status == "ok" and not record.shard:
                self._by_name[record.track, record.dataset, record.method].append(record)

    def run(self, plan: RunPlan) -> Record | None:
        """Return the newest run that is what ``plan`` would make; None: there is none.

        Its method has the same file and options, its students the same recipe and seeds.
        """
        sampling = plan.sampling
        named = self._of(plan.scoring, sampling.method.name)
        return next((one for one in named[::-1] if _is_made(one, plan)), None)

    def sets(self, plan: ScoringPlan, team: str) -> dict[str | None, Record]:
        """Return the newest run of each set of a team that was scored so, by its images."""
        scored = [one for one in self._of(plan, team) if one.origin.kind == "file"]
        return {one.images_sha256: one for one in scored if _is_scored(one, plan)}

    def seconds(self, plan: RunPlan) -> float | None:
        """Return how long making a set took on average, with the same method, track and IPC."""
        named = self._of(plan.scoring, plan.sampling.method.name)
        took = [one.seconds.sampling for one in named if one.ipc_asked == plan.sampling.ipc]
        known = [seconds for seconds in took if seconds is not None]
        return sum(known) / len(known) if known else None

    def _of(self, plan: ScoringPlan, name: str) -> Sequence[Record]:
        return self._by_name.get((plan.track.name, plan.dataset.name, name), ())


def _is_made(record: Record, plan: RunPlan) -> bool:
    """Return whether a record of the same method, track and dataset has the settings of a plan."""
    sampling = plan.sampling
    made = (
        record.origin.kind,
        record.ipc_asked,
        record.seed,
        record.seconds.limit,
        record.processes,
        record.options,
        record.metadata.get("method_sha256"),
        record.metadata.get("isolated") == "yes",
    )
    wanted = (
        "method",
        sampling.ipc,
        sampling.seed,
        sampling.time_limit,
        sampling.processes,
        {name: option_value(value) for name, value in sampling.options.items()},
        _file_hash(sampling.method.file),
        sampling.is_isolated,
    )
    return made == wanted and _is_scored(record, plan.scoring)


def _is_scored(record: Record, plan: ScoringPlan) -> bool:
    """Return whether the students of a record are those of a plan, and its rules too."""
    plan = plan.for_ipc(record.ipc)
    first, *others = (student.name for student in plan.students)
    if not plan.seeds:
        return not record.accuracies and _rules(record) == plan.track.sha256
    return (
        record.seeds == list(plan.seeds)
        and (record.recipe_sha256, record.student) == (plan.recipe.sha256, first)
        and list(record.other_students) == others
        and record.metadata.get("dataset_reference", "") == plan.dataset.reference
        and _rules(record) == plan.track.sha256
    )


def _rules(record: Record) -> str:
    """Return the hash of the rules of a track from a file; empty: it is an installed one."""
    return record.rules.sha256 if record.rules else ""


def _file_hash(file: str) -> str | None:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
