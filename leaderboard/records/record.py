"""The record of one run: settings, results, and all that is needed to rerun and check it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import msgspec

from leaderboard import stats
from leaderboard.records import migrations
from leaderboard.records.parts import CHANCE as CHANCE
from leaderboard.records.parts import TEST_COPIES as TEST_COPIES
from leaderboard.records.parts import (
    Amount,
    Count,
    FileName,
    Fraction,
    Integer,
    Number,
    Shard,
    Text,
    devices_in,
)
from leaderboard.records.parts import Copies as Copies
from leaderboard.records.parts import Finding as Finding
from leaderboard.records.parts import OfficialScore as OfficialScore
from leaderboard.records.parts import Origin as Origin
from leaderboard.records.parts import Reason as Reason
from leaderboard.records.parts import ScoringRuntime as ScoringRuntime
from leaderboard.records.parts import Seconds as Seconds
from leaderboard.records.parts import Session as Session
from leaderboard.records.parts import ShardOrigin as ShardOrigin
from leaderboard.records.parts import TrackRules as TrackRules
from leaderboard.text import plural

SCHEMA = 3
# Nesting and largest number of what a method reports.
MAX_DEPTH, MAX_REPORTED = 20, 1e300


@dataclass(frozen=True)
class Record:
    """The record of one run: finished, failed or late.

    Attributes:
        status: ``ok``; ``timeout`` if the limit expired before all requested images existed;
            ``invalid`` if the method or file broke its contract; ``error`` if something failed.
        message: for people: why the status is not ``ok``, or what was lost.
        failed_stage: for programs: the stage in which a run with status ``invalid`` or ``error``
            failed.
        interrupted: whether a user or the system stopped the run.
        options: all options of the method, including defaults.
        explicit_options: the options that the user set, each as KEY=VALUE.
        seed: random seed for sampling; ``seeds`` are the evaluation seeds.
        ipc: images per class of the distilled set.
        ipc_asked: requested images per class. None means as many as the limit allows.
        repeats: requested number of evaluation seeds. ``accuracies`` has fewer entries if scoring
            stopped early.
        processes: number of processes that generated the set, or each shard of it, together.
        shard: ``I/N`` if this set is part I of N; `ddbench merge` joins the parts.
        sampled: number of images sampled before the limit, including those removed to balance the
            classes.
        category: the value that runs of a track must share to be ranked together, for example
            ``IPC 10``.
        generated_per_class: how many of the ``ipc`` images were sampled. The others are augmented
            copies, or were optimised.
        accuracies: test accuracy as a fraction, one per evaluation seed. Empty if not scored.
        accuracy_mean: mean of ``accuracies``.
        accuracy_std: their sample standard deviation (n - 1).
        accuracy_ci95: 95 % t interval of the mean over the seeds, [low, high].
        other_students: accuracies of the other students, by name.
        images_per_second: ``sampled`` divided by ``seconds.generate``.
        uses_real_data: whether the method asked for training images, or the set holds copies of
            them. If False for a file, nobody knows whether it was made with them.
        copies: how much of the set was copied from real images. None if nobody looked.
        comparable: whether the run followed all rules of its track.
        limit_enforced: whether the harness measured and limited the time. If False, the limit was
            only declared.
        device: device used for sampling; ``scoring`` holds the device used for evaluation.
        sessions: the parts of a run that was resumed; empty: it was made in one go.
        rules: the rules of the track, if they came from a file. Others are known by its name.
        metadata: what the method reported beyond the other fields. Tables show its ``images``.
        confusion: counts over all seeds, [true class][predicted class].
    """

    run_id: FileName
    status: Literal["ok", "timeout", "invalid", "error"]
    message: str
    track: Text
    dataset: Text
    method: Text
    options: dict[str, Any]
    seed: Integer
    recipe: str
    recipe_sha256: FileName
    student: str
    created: str
    failed_stage: Literal["sampling", "reading", "checking", "scoring"] | None = None
    interrupted: bool = False
    explicit_options: list[str] = field(default_factory=list)
    ipc: Count = 0
    ipc_asked: Integer | None = None
    repeats: Count = 0
    processes: Count = 1
    shard: Shard | None = None
    sampled: Count = 0
    category: str = ""
    generated_per_class: Amount = 0.0
    seeds: list[Integer] = field(default_factory=list)
    accuracies: list[Fraction] = field(default_factory=list)
    accuracy_mean: Number | None = None
    accuracy_std: Number | None = None
    accuracy_ci95: list[Number] | None = None
    other_students: dict[str, list[Fraction]] = field(default_factory=dict)
    seconds: Seconds = field(default_factory=Seconds)
    images_per_second: Amount | None = None
    model: str | None = None
    # Reported by the method, unlike the other hashes.
    model_sha256: str | None = None
    model_trained_on: str | None = None
    model_licence: str | None = None
    images_sha256: FileName | None = None
    data_sha256: FileName | None = None
    uses_real_data: bool = False
    comparable: bool = False
    not_comparable_because: list[Reason] = field(default_factory=list)
    limit_enforced: bool = True
    origin: Origin = field(default_factory=Origin)
    sessions: list[Session] = field(default_factory=list)
    scoring: ScoringRuntime | None = None
    rules: TrackRules | None = None
    checks: list[Finding] = field(default_factory=list)
    copies: Copies | None = None
    official: OfficialScore | None = None
    batch: Count | None = None
    threads: Integer | None = None
    device: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    confusion: list[list[Count]] | None = None
    hardware: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    schema: Count = SCHEMA

    @property
    def n(self) -> int:
        """Return the number of scored evaluation seeds."""
        return len(self.accuracies)

    @property
    def devices(self) -> int | None:
        """Return the number of devices that generated the set; None: nobody knows.

        A device is a GPU that the run saw, or a machine without one. Each shard of a merged set
        counts, and one that is missing counts as a device.
        """
        shards = self.origin.shards
        if not shards:
            return devices_in(self.hardware) if self.limit_enforced else None
        counts = [int(one.shard.partition("/")[2]) for one in shards if one.shard]
        missing = max(counts, default=0) - len(shards)
        return sum(one.devices for one in shards) + max(0, missing)

    @property
    def device_seconds(self) -> float | None:
        """Return for how long devices generated the set, added up; None if it is not known."""
        if shards := self.origin.shards:
            each = [one.device_seconds for one in shards]
            known = [seconds for seconds in each if seconds is not None]
            return sum(known) if len(known) == len(each) else None
        took, devices = self.seconds.sampling, self.devices
        return None if took is None or devices is None else took * devices

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain dicts and lists, with field names as keys."""
        return msgspec.to_builtins(self)

    def to_json(self) -> str:
        """Return the record as indented JSON with field names as keys and a final line break.

        Raises:
            ValueError: a number is NaN or infinite.
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Return the record in ``text``, upgraded from an older schema and without unknown fields.

        Raises:
            ValueError: ``text`` is not a record, has a newer schema, lacks a field, or has a field
                of the wrong type, size or form. The message names the field.
        """
        record = msgspec.convert(_upgraded(_parse(text)), cls, strict=True)
        _check_reported(record)
        _check_scores(record)
        return record


def _parse(text: str) -> Any:
    """Return the JSON in ``text``. Lone surrogates, which UTF-8 can't encode, become ``?``."""
    values = json.loads(text, parse_constant=_refuse)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        whole = json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")
        values = json.loads(whole)
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a valid number")


def _upgraded(values: Any) -> dict[str, Any]:
    schema = values.get("schema") if isinstance(values, dict) else None
    if type(schema) is not int or schema < 1:
        raise ValueError("not a record: expected a JSON object with a field schema of 1 or more")
    if schema > SCHEMA:
        raise ValueError(
            f"schema {schema} is newer than {SCHEMA}, the newest that this version reads: "
            "upgrade ddbench"
        )
    return migrations.upgrade(values, SCHEMA)


def _is_plain(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Return whether a reported value can be shown and written.

    Such a value has no number beyond `MAX_REPORTED` and is not nested deeper than ``depth``.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    return not isinstance(value, int | float) or abs(value) < MAX_REPORTED


def _check_reported(record: Record) -> None:
    reported = {name: getattr(record, name) for name in ("options", "metadata", "hardware")}
    reported["origin.shards"] = [shard.hardware for shard in record.origin.shards]
    for name, value in reported.items():
        if not _is_plain(value):
            raise ValueError(f"{name} is nested too deeply or contains too large a number")


def _check_scores(record: Record) -> None:
    """Check what tables rely on beyond types, such as a summary that matches the accuracies."""
    if any(len(row) != len(record.confusion or []) for row in record.confusion or []):
        raise ValueError("confusion is not square")
    if len(record.seeds) != len(record.accuracies):
        seeds, scores = len(record.seeds), len(record.accuracies)
        raise ValueError(
            f"{seeds} {plural(seeds, 'seed')} for "
            f"{scores} {plural(scores, 'accuracy', 'accuracies')}"
        )
    mean, _, interval = stats.summary(record.accuracies)
    if _rounded([record.accuracy_mean]) != _rounded([mean]):
        raise ValueError("accuracy_mean does not match the accuracies")
    if _rounded(record.accuracy_ci95) != _rounded(interval):
        raise ValueError("accuracy_ci95 does not match the accuracies")


def _rounded(values: list[float] | list[float | None] | None) -> list[float | None]:
    return [None if value is None else round(value, 6) for value in values or []]
