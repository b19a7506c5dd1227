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
            if record.status == "ok":
                self._by_name[record.track, record.dataset, record.method].append(record)

    def run(self, plan: RunPlan) -> Record | None:
        """Return the newest run that is what ``plan`` would make; None: there is none.

        Its method has the same file and options, its students the same recipe and seeds. ``plan``
        may be that of a shard.
        """
        sampling = plan.sampling
        named = self._of(plan.scoring, sampling.method.name)
        return next((one for one in named[::-1] if _is_made(one, plan)), None)

    def sets(self, plan: ScoringPlan, team: str) -> dict[str | None, Record]:
        """Return the newest run of each set of a team that was scored so, by its images."""
        scored = [one for one in self._of(plan, team) if one.origin.kind == "file"]
        return {one.images_sha256: one for one in scored if _is_scored(one, plan)}

    def seconds(self, plan: RunPlan) -> float | None:
        """Return how long making a set took on average, with the same method, track and IPC.

        If ``plan`` is that of a shard, only shards of equally many count.
        """
        named = self._of(plan.scoring, plan.sampling.method.name)
        wanted = plan.sampling.ipc, plan.sampling.shard[1]
        took = [one.seconds.sampling for one in named if (one.ipc_asked, _shards(one)) == wanted]
        known = [seconds for seconds in took if seconds is not None]
        return sum(known) / len(known) if known else None

    def _of(self, plan: ScoringPlan, name: str) -> Sequence[Record]:
        return self._by_name.get((plan.track.name, plan.dataset.name, name), ())


def _is_made(record: Record, plan: RunPlan) -> bool:
    """Return whether a record of the same method, track and dataset has the settings of a plan."""
    sampling, shards = plan.sampling, plan.scoring.request.shards
    made = (
        record.origin.kind,
        len(record.origin.shards),
        record.shard,
        record.ipc_asked,
        record.seed,
        record.seconds.limit,
        record.processes,
        record.options,
        record.metadata.get("method_sha256"),
        record.metadata.get("isolated") == "yes",
    )
    wanted = (
        "method" if shards == 1 else "shards",
        0 if shards == 1 else shards,
        plan.scoring.request.shard,
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
    own = record.metadata.get("dataset_reference", ""), _rules(record), record.recipe_sha256
    if own != (plan.dataset.reference, plan.track.sha256, plan.recipe.sha256):
        return False
    if not plan.seeds:
        return not record.accuracies
    return (
        record.seeds == list(plan.seeds)
        and record.student == first
        and list(record.other_students) == others
    )


def _shards(record: Record) -> int:
    """Return of how many shards a run made one; 1: it made the whole set; 0: it joined them."""
    if record.origin.shards:
        return 0
    return int(record.shard.partition("/")[2]) if record.shard else 1


def _rules(record: Record) -> str:
    """Return the hash of the rules of a track from a file; empty: it is an installed one."""
    return record.rules.sha256 if record.rules else ""


def _file_hash(file: str) -> str | None:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
