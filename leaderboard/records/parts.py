"""The parts of a record, and the types of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

# Largest number in a record, except in what a method reports.
LARGEST = 2**63 - 1
# Code of the finding that a set holds test images. It makes every set invalid, whoever made it.
TEST_COPIES = "test-copies"
# Largest share of near copies that may be chance. Images of a kind look alike.
CHANCE = 0.1

Integer = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Number = Annotated[float, Meta(ge=-float(LARGEST), le=float(LARGEST))]
Amount = Annotated[float, Meta(ge=0, le=float(LARGEST))]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(pattern=r"\S")]
# Names of run folders, and hashes.
FileName = Annotated[str, Meta(pattern=r"(?a)^\w[\w.-]{0,99}\Z")]
Shard = Annotated[str, Meta(pattern=r"(?a)^\d{1,6}/\d{1,6}\Z")]


@dataclass(frozen=True)
class Reason:
    """A reason why a run is not comparable.

    Attributes:
        code: the reason for programs: ``status``, ``time-limit``, ``ipc``, ``repeats``,
            ``recipe``, ``student``, ``dataset``, ``test-images``, ``shard``, ``merged``,
            ``devices``, ``backend`` or ``unknown``. The leaderboard also finds ``track``,
            ``rules``, ``category``, ``real-data`` and ``contradiction``.
        text: the reason for people.
    """

    code: str
    text: str


@dataclass(frozen=True)
class Finding:
    """The result of a content check of a distilled set.

    Attributes:
        level: ``error`` if a score would be meaningless, so the set is not scored; ``warning`` if
            someone should look at the set; ``note`` for what was checked or could not be checked.
        code: the finding for programs.
        text: the finding for people.
    """

    level: Literal["error", "warning", "note"]
    code: str = "unknown"
    text: str = ""


@dataclass(frozen=True)
class Copies:
    """The shares of a set's images that are copies of real images; None: not looked for.

    No image is counted twice.

    Attributes:
        test_exact: exact copies of test images. An image in both splits is a training image.
        test_near: nearly equal to one test image, and far less like any other real image.
        train_exact: exact copies of training images.
        train_near: nearly equal to one training image, and far less like any other real image.
    """

    test_exact: Fraction | None = None
    test_near: Fraction | None = None
    train_exact: Fraction | None = None
    train_near: Fraction | None = None

    @property
    def of_test(self) -> float:
        """Return the share of copies of test images; few near ones don't count."""
        return _share(self.test_exact, self.test_near)

    @property
    def of_training(self) -> float:
        """Return the share of copies of training images; few near ones don't count."""
        return _share(self.train_exact, self.train_near)


def _share(exact: float | None, near: float | None) -> float:
    return min(1.0, (exact or 0.0) + (near if near and near > CHANCE else 0.0))


@dataclass(frozen=True)
class Seconds:
    """Durations in a run, in seconds; None if unknown.

    Attributes:
        load: from the start until the method was ready.
        generate: from then until the method's last complete batch.
        evaluate: training and testing of all students.
        limit: the time limit for loading and generating together.
        used: from the start until the limit or an interruption ended the method, or the sum over
            all sessions if the run was resumed; None: it ended by itself.
    """

    load: Amount | None = None
    generate: Amount | None = None
    evaluate: Amount | None = None
    limit: Amount | None = None
    used: Amount | None = None

    @property
    def sampling(self) -> float | None:
        """Return the time to generate the set, including loading; None if it was not measured."""
        if self.used is not None:
            return self.used
        return None if self.load is None else self.load + (self.generate or 0.0)


@dataclass(frozen=True)
class ShardOrigin:
    """The run that generated one shard of a merged set, and its environment.

    Attributes:
        shard: as in `Record`; None in old records.
        seconds: its own times; old records lack them.
    """

    run_id: str
    hardware: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    images_sha256: str | None = None
    shard: Shard | None = None
    seconds: Seconds = field(default_factory=Seconds)

    @property
    def devices(self) -> int:
        """Return the number of devices that generated the shard."""
        return devices_in(self.hardware)

    @property
    def device_seconds(self) -> float | None:
        """Return for how long that took, times the devices; None if it is not known."""
        took = self.seconds.sampling
        return None if took is None else took * self.devices


def devices_in(hardware: Mapping[str, Any]) -> int:
    """Return the number of devices of a machine: its GPUs that a run saw, or 1 without any."""
    gpus = hardware.get("gpus")
    return gpus if type(gpus) is int and gpus > 0 else 1


@dataclass(frozen=True)
class Origin:
    """The source of a run's images.

    Attributes:
        kind: ``method`` if they were sampled in this run, ``file`` if they were read from a
            submission, ``run`` if the images of another run were scored again, ``shards`` if they
            were merged from several runs.
        file: file name of the submission.
        format: format in which the submission was read.
        image_size: size in pixels that the pictures of the submission were resized to; None: they
            were read as they are.
        run_id: id of the run whose images were scored again.
        shards: the merged runs.
        reruns: id of the run that this one repeats (`ddbench rerun`).
        resumes: id of the interrupted run that this one goes on from (`ddbench resume`).
    """

    kind: Literal["method", "file", "run", "shards"] = "method"
    file: str | None = None
    format: str | None = None
    run_id: str | None = None
    shards: list[ShardOrigin] = field(default_factory=list)
    reruns: str | None = None
    image_size: int | None = None
    resumes: str | None = None


@dataclass(frozen=True)
class Session:
    """A part of a run that was resumed: from a start to the next interruption, or to the end.

    Attributes:
        started: when, in UTC.
        stage: what it began with.
        used: seconds that count against the time limit, rounded up if the process was killed.
        seed: random seed of the method, which differs between sessions so that no image repeats;
            None: no method ran.
    """

    started: str
    stage: Literal["sampling", "reading", "scoring"]
    used: Amount = 0.0
    seed: Integer | None = None


@dataclass(frozen=True)
class ScoringRuntime:
    """The device, threads and backends with which the students were trained.

    Attributes:
        device: the torch device.
        threads: number of CPU threads that torch used.
        requested: the requested backend: ``auto``, ``reference`` or ``fast``.
        backends: the implementation of each student's training steps, by student: ``plain``,
            ``fused``, ``compiled`` or ``winograd``.
        fallback: the reason why a faster backend was not used.
    """

    device: str
    threads: Count
    requested: str | None = None
    backends: dict[str, str] = field(default_factory=dict)
    fallback: str | None = None


@dataclass(frozen=True)
class OfficialScore:
    """The score from the challenge's own evaluator.

    Attributes:
        datasets: names of the datasets that the score covers.
        correct: the fraction that the evaluator reported. None if it failed.
        seconds: duration of the evaluation.
        error: the reason why there is no score.
    """

    datasets: list[str] = field(default_factory=list)
    correct: Number | None = None
    seconds: Amount | None = None
    error: str | None = None


@dataclass(frozen=True)
class TrackRules:
    """The rules of a track that came from a file.

    Attributes:
        sha256: their hash. Runs with different hashes are not ranked together.
        ipc: the allowed images per class; empty: any number.
        default_ipc: None stands for as many as the limit allows.
        devices: the number of devices that may make a set.
    """

    sha256: FileName
    datasets: list[Text]
    time_limit: Amount
    ipc: list[Count]
    default_ipc: Count | None
    recipe: str
    repeats: Count
    student: str = ""
    real_data: bool = True
    bundled_data: bool = False
    devices: Count = 1
