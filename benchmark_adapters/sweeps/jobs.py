"""The runs that a sweep makes, and what an earlier command left of them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmark_adapters.files import listed, locked, read_bounded
from benchmark_adapters.runs import unfinished
from benchmark_adapters.runs.request import RunPlan, ScoringPlan
from benchmark_adapters.runs.sources.method import MethodSource
from benchmark_adapters.runs.unfinished import Unfinished
from benchmark_adapters.scoring import seed_cache
from benchmark_adapters.scoring.seed_cache import SeedResult
from benchmark_adapters.sweeps.expected import Expected
from benchmark_adapters.sweeps.tasks import Item, Ref
from benchmark_adapters.types import UserError
from leaderboard.records.record import Record

Seed = tuple[str, int]
# The states of a shard that can be joined.
MADE = ("ok", "timeout")


@dataclass(eq=False)
class Job:
    """One run of a sweep, and how far it is.

    Attributes:
        title: its name, for people.
        item: what workers get.
        plan: how it is made, or how a set from a file is scored.
        expected: how long its steps take.
        ref, place: the unfinished run, once its set is made, and the folder that it gets.
        results: those of its finished seeds.
        open: seeds that have no answer yet.
        shards: the runs that make the shards of its set, if it joins them.
        scored: records of the sets of the team that need not be scored again, by their images.
        record: its record, once it is finished.
        failure: why it has none.
    """

    title: str
    item: Item
    plan: RunPlan | ScoringPlan
    expected: Expected
    ref: Ref | None = None
    place: Path = Path()
    results: dict[Seed, SeedResult] = field(default_factory=dict)
    open: set[Seed] = field(default_factory=set)
    shards: Sequence[Job] = ()
    scored: Mapping[str | None, Record] = field(default_factory=dict)
    record: Record | None = None
    failure: str = ""

    @property
    def scoring(self) -> ScoringPlan:
        return self.plan.scoring if isinstance(self.plan, RunPlan) else self.plan

    @property
    def threads(self) -> int:
        return self.scoring.request.threads or 1

    @functools.cached_property
    def rules(self) -> str:
        """Return the rules that an unfinished run of this job has."""
        if isinstance(self.plan, RunPlan) and not self.shards:
            return unfinished.rules(self.scoring, MethodSource(self.plan.sampling))
        return unfinished.rules(self.scoring, None)

    @property
    def is_method(self) -> bool:
        """Return whether a method runs under its time limit."""
        return self.item.submission is None and not self.shards

    @property
    def is_over(self) -> bool:
        return bool(self.record or self.failure)

    @property
    def made_shards(self) -> tuple[tuple[Path, Record], ...]:
        """Return folder and record of each shard that can be joined."""
        made = [(one.place, one.record) for one in self.shards if one.record]
        return tuple((place, record) for place, record in made if record.status in MADE)

    @property
    def is_ok(self) -> bool:
        return self.record is not None and self.record.status == "ok"

    @property
    def seconds_left(self) -> float:
        """Return the seconds that are expected of the steps that are left."""
        if self.is_over:
            return 0.0
        is_made = self.place != Path()
        made = self.expected.making if is_made else 0.0
        return self.expected.making + self.expected.scoring - made - self.trained_seconds

    @property
    def trained_seconds(self) -> float:
        return len(self.results) * self.expected.seed

    def is_left(self, one: Unfinished, images: str | None) -> bool:
        """Return whether an unfinished run is that of this job.

        That of a team's set is known by its ``images``, since files may have changed. That of a
        joined set is known by its shards.
        """
        if one.plan.rules != self.rules or one.plan.reruns is not None:
            return False
        if self.is_method:
            return one.plan.samples
        draft = None if one.plan.samples else one.draft
        if self.item.submission is None:
            joined = {shard.run_id for shard in draft.origin.shards} if draft else set()
            made = {record.run_id for _, record in self.made_shards}
            return bool(made) and joined == made
        return (
            draft is not None
            and images is not None
            and (draft.method, draft.images_sha256) == (self.item.submission.name, images)
        )


def kept_results(work: Path) -> dict[Seed, SeedResult]:
    """Return the results of seeds that an earlier command kept. `finish` checks them."""
    found: dict[Seed, SeedResult] = {}
    for file in listed(work / unfinished.SEEDS):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            content: Any = read_bounded(file, seed_cache.MAX_BYTES, follows_links=False)
            result = msgspec.json.decode(content, type=SeedResult)
            if file.stem == result.cache_key:
                found[result.student, result.seed] = result
    return found


@contextlib.contextmanager
def alone(runs: Path) -> Iterator[None]:
    """Keep a second sweep out of the runs folder during the block.

    Raises:
        UserError: there is one, or the file system of the folder has no locks.
        OSError: the folder can't be created.
    """
    runs.mkdir(parents=True, exist_ok=True)
    with locked(runs) as is_locked:
        if not is_locked:
            raise UserError(
                f"another sweep works in the runs folder {runs}, or its file system has no locks; "
                "wait, or choose another one with --runs"
            )
        yield
