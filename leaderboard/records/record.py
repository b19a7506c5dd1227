"""The record of one run: its settings, its result, and what it takes to repeat and check it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta

from leaderboard import stats
from leaderboard.records import migrations

SCHEMA = 3
LARGEST = 2**63 - 1  # of all numbers but those that a method reports
MAX_DEPTH, MAX_REPORTED = 20, 1e300  # nesting and size of what a method reports

Integer = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Number = Annotated[float, Meta(ge=-float(LARGEST), le=float(LARGEST))]
Amount = Annotated[float, Meta(ge=0, le=float(LARGEST))]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(pattern=r"\S")]
FileName = Annotated[str, Meta(pattern=r"(?a)^\w[\w.-]{0,99}\Z")]  # of a run's folder, of a hash
Shard = Annotated[str, Meta(pattern=r"(?a)^\d{1,6}/\d{1,6}\Z")]


@dataclass(frozen=True)
class Reason:
    """Why a run is not comparable.

    Attributes:
        code: for programs: ``status``, ``time-limit``, ``ipc``, ``repeats``, ``recipe``,
            ``student``, ``test-images``, ``shard``, ``merged``, ``backend`` or ``unknown``.
        text: for people.
    """

    code: str
    text: str


@dataclass(frozen=True)
class Finding:
    """The result of a content check of a distilled set.

    Attributes:
        level: ``error``: a score would mean nothing, so none is made; ``warning``: to be looked
            at; ``note``: what was checked or could not be.
        code: for programs.
        text: for people.
    """

    level: Literal["error", "warning", "note"]
    code: str = "unknown"
    text: str = ""


@dataclass(frozen=True)
class ShardOrigin:
    """The run that made one shard of a merged set, and where it ran."""

    run_id: str
    hardware: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    images_sha256: str | None = None


@dataclass(frozen=True)
class Origin:
    """Where the images of a run came from.

    Attributes:
        kind: ``method``: sampled in this run; ``file``: read from a submission; ``run``: those of
            another run, scored again; ``shards``: merged from several runs.
        file, format: name of the submission, and the format it was read in.
        run_id: the run whose images were scored again.
        shards: the merged runs.
        reruns: the run that this one repeats (`ddbench rerun`).
    """

    kind: Literal["method", "file", "run", "shards"] = "method"
    file: str | None = None
    format: str | None = None
    run_id: str | None = None
    shards: list[ShardOrigin] = field(default_factory=list)
    reruns: str | None = None


@dataclass(frozen=True)
class ScoringRuntime:
    """How the students were trained.

    Attributes:
        device: as torch names it.
        threads: CPU threads of torch.
        requested: the backend that was asked for: ``auto``, ``reference`` or ``fast``.
        backends: for each student the implementation of its training steps: ``plain``, ``fused``,
            ``compiled`` or ``winograd``.
        fallback: why a faster backend was not used.
    """

    device: str
    threads: Count
    requested: str | None = None
    backends: dict[str, str] = field(default_factory=dict)
    fallback: str | None = None


@dataclass(frozen=True)
class OfficialScore:
    """The score by the challenge's own evaluator.

    Attributes:
        datasets: names of the datasets it covers.
        correct: the fraction it reports; None where it failed.
        seconds: how long it took.
        error: why there is no score.
    """

    datasets: list[str] = field(default_factory=list)
    correct: Number | None = None
    seconds: Amount | None = None
    error: str | None = None


@dataclass(frozen=True)
class Seconds:
    """Times of a run in seconds; None where unknown.

    Attributes:
        load: until the method was ready.
        generate: from then until its last complete batch.
        evaluate: training and testing of all students.
        limit: the time limit, for loading and generating together.
    """

    load: Amount | None = None
    generate: Amount | None = None
    evaluate: Amount | None = None
    limit: Amount | None = None

    @property
    def sampling(self) -> float | None:
        """Return how long the set took, model loading included; None where nobody measured it."""
        return None if self.load is None else self.load + (self.generate or 0.0)


@dataclass(frozen=True)
class Record:
    """One finished, failed or late run.

    Attributes:
        status: ``ok``; ``timeout``: fewer images than asked for by the limit; ``invalid``: the
            method or file broke its contract; ``error``: something failed.
        message: for people: why the status is not ``ok``, or what was lost.
        failed_stage: for programs: where a run with status ``invalid`` or ``error`` failed.
        interrupted: a user or the system stopped the run.
        options: all options of the method, with defaults filled in.
        explicit_options: the options that the user set, as KEY=VALUE.
        seed: random seed for sampling; ``seeds`` are those of the evaluation.
        ipc: images per class of the distilled set.
        ipc_asked: images per class that were asked for; None: as many as fit into the limit.
        repeats: evaluation seeds that were asked for; ``accuracies`` has fewer where scoring ended
            early.
        processes: how many made the set together.
        shard: ``I/N``: this set is part I of N; `ddbench merge` joins the parts.
        sampled: images sampled by the limit, including those trimmed for class balance.
        category: what runs of a track must share to be ranked together, for example ``IPC 10``.
        generated_per_class: how many of ``ipc`` were sampled; the others are augmented copies.
        accuracies: fractions of test images, one per evaluation seed; empty: not scored.
        accuracy_std: sample standard deviation (n - 1).
        accuracy_ci95: 95 % t interval of the mean over the seeds, [low, high].
        other_students: accuracies of further students, by name.
        images_per_second: ``sampled`` over ``seconds.generate``.
        comparable: the run kept to every rule of its track.
        limit_enforced: the time was measured and limited here; False: it was only declared.
        device: of the sampling; ``scoring`` has that of the evaluation.
        metadata: what the method reported beyond the other fields.
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
    model_sha256: str | None = None  # as the method says, unlike the other hashes
    model_trained_on: str | None = None
    model_licence: str | None = None
    images_sha256: FileName | None = None
    data_sha256: FileName | None = None
    uses_real_data: bool = False
    comparable: bool = False
    not_comparable_because: list[Reason] = field(default_factory=list)
    limit_enforced: bool = True
    origin: Origin = field(default_factory=Origin)
    scoring: ScoringRuntime | None = None
    checks: list[Finding] = field(default_factory=list)
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

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain dicts and lists, with field names as keys."""
        return msgspec.to_builtins(self)

    def to_json(self) -> str:
        """Return the record as indented JSON with field names as keys, and a line break.

        Raises:
            ValueError: a number is NaN or infinite.
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Return the record in ``text``, also of an older schema; unknown fields are left out.

        Raises:
            ValueError: ``text`` is not a record, has a newer schema, lacks a field, or has one of
                the wrong type, size or form; the message names the field.
        """
        record = msgspec.convert(_upgraded(_parse(text)), cls, strict=True)
        _check_reported(record)
        _check_scores(record)
        return record


def _parse(text: str) -> Any:
    """Return the JSON in ``text``; halves of characters, which can't be written, become ``?``."""
    values = json.loads(text, parse_constant=_refuse)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        whole = json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")
        values = json.loads(whole)
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _upgraded(values: Any) -> dict[str, Any]:
    schema = values.get("schema") if isinstance(values, dict) else None
    if type(schema) is not int or schema < 1:
        raise ValueError("not a record: an object with a field schema, a number from 1, is needed")
    if schema > SCHEMA:
        raise ValueError(
            f"schema {schema} is newer than {SCHEMA}, which this version reads; upgrade ddbench"
        )
    return migrations.upgrade(values, SCHEMA)


def _is_plain(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Return whether a reported value can be shown and written.

    It has no number beyond `MAX_REPORTED` and is not nested deeper than ``depth``.
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
            raise ValueError(f"{name} is nested too deeply or has too large a number")


def _check_scores(record: Record) -> None:
    """Check what tables rely on beyond types: the summary is that of the accuracies."""
    if any(len(row) != len(record.confusion or []) for row in record.confusion or []):
        raise ValueError("confusion is not square")
    if len(record.seeds) != len(record.accuracies):
        raise ValueError(f"{len(record.seeds)} seeds for {len(record.accuracies)} accuracies")
    mean, _, interval = stats.summary(record.accuracies)
    if _rounded([record.accuracy_mean]) != _rounded([mean]):
        raise ValueError("accuracy_mean is not that of the accuracies")
    if _rounded(record.accuracy_ci95) != _rounded(interval):
        raise ValueError("accuracy_ci95 is not that of the accuracies")


def _rounded(values: list[float] | list[float | None] | None) -> list[float | None]:
    return [None if value is None else round(value, 6) for value in values or []]
