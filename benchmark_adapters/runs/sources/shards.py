"""Shards of one set, made by runs with ``--shard I/N``, joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark_adapters.execution.supervisor import Outcome
from benchmark_adapters.formats import native
from benchmark_adapters.runs.request import SamplingPlan
from benchmark_adapters.runs.sources.source import Making, Production, collected, report_of
from leaderboard.records.record import Origin, Reason, Record, ShardOrigin


@dataclass(frozen=True)
class ShardsSource:
    """Shards of one set, joined.

    Attributes:
        plan: by which each of them was made.
        shards: folder and record of those that exist, by number.
        count: of shards that the set should have.
    """

    plan: SamplingPlan
    shards: Mapping[int, tuple[Path, Record]]
    count: int
    is_untrusted: bool = False

    @property
    def name(self) -> str:
        return self.plan.method.name

    def produce(self, folder: Path) -> Callable[[], Production]:
        shards = sorted(self.shards.items())
        log = "".join(f"shard {number} is run {record.run_id}\n" for number, (_, record) in shards)
        (folder / "log.txt").write_text(log, encoding="utf-8")
        plan = self.plan
        outcome = self._outcome()
        return partial(collected, self._making(), outcome, plan.dataset, plan.ipc, folder)

    @property
    def _records(self) -> list[Record]:
        return [record for _, record in self.shards.values()]

    def _outcome(self) -> Outcome:
        """Return what the shards' processes had done, as if they had been of one run."""
        lost = [text for number in range(self.count) if (text := self._loss(number))]
        is_late = any(record.status == "timeout" for record in self._records)
        files = [
            self.shards[number][0] / native.IMAGES if number in self.shards else None
            for number in range(self.count)
        ]
        return Outcome(
            end="error" if lost and self.plan.ipc is not None else "limit" if is_late else "done",
            message="; ".join(lost) or "a shard reached the limit",
            files=[[file] if file and file.is_file() else [] for file in files],
            failed_processes=lost,
        )

    def _making(self) -> Making:
        plan, records = self.plan, self._records
        joined = f"joined from {self.count} shards, each with a clock of its own"
        return Making(
            method=plan.method.name,
            seed=plan.seed,
            ipc_requested=plan.ipc,
            time_limit=plan.time_limit,
            options=plan.options,
            explicit_options=plan.explicit_options,
            load=max(record.seconds.load or 0.0 for record in records),
            generate=max(record.seconds.generate or 0.0 for record in records),
            sampled=sum(record.sampled for record in records),
            used_real_data=any(record.uses_real_data for record in records),
            report=report_of(records[0]),
            origin=Origin("shards", shards=[_shard_origin(record) for record in records]),
            deviations=(Reason("merged", joined),) if self.count > 1 else (),
        )

    def _loss(self, number: int) -> str:
        """Say why a shard has fewer images than it should; empty if it is whole."""
        if number not in self.shards:
            return f"shard {number}/{self.count}: missing"
        record = self.shards[number][1]
        if record.status in ("ok", "timeout"):
            return ""
        return f"shard {number}/{self.count}: {record.message or record.status}"


def _shard_origin(record: Record) -> ShardOrigin:
    """Tell where a shard comes from; the record itself tells of the machine that joined them."""
    return ShardOrigin(
        run_id=record.run_id,
        hardware=record.hardware,
        versions=record.versions,
        commit=record.commit,
        dirty=record.dirty,
        images_sha256=record.images_sha256,
    )
