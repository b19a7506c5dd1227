"""The runs that a sweep makes, and what an earlier command left of them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
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
        method = MethodSource(self.plan.sampling) if isinstance(self.plan, RunPlan) else None
        return unfinished.rules(self.scoring, method)

    @property
    def is_method(self) -> bool:
        return self.item.submission is None

    @property
    def is_ok(self) -> bool:
        return self.record is not None and self.record.status == "ok"

    @property
    def seconds_left(self) -> float:
        """Return the seconds that are expected of the steps that are left."""
        if self.record or self.failure:
            return 0.0
        is_made = self.place != Path()
        made = self.expected.making if is_made else 0.0
        return self.expected.making + self.expected.scoring - made - self.trained_seconds

    @property
    def trained_seconds(self) -> float:
        return len(self.results) * self.expected.seed

    def is_left(self, one: Unfinished, images: str | None) -> bool:
        """Return whether an unfinished run is that of this job.

        That of a team's set is known by its ``images``, since files may have changed.
        """
        if one.plan.rules != self.rules or one.plan.reruns is not None:
            return False
        if self.item.submission is None:
            return one.plan.samples
        draft = None if one.plan.samples else one.draft
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
