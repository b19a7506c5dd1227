"""Find what in a record can't be true together.

ddbench writes no such record, so somebody has edited it or made it up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from leaderboard import stats
from leaderboard.analysis.demands import RealTest
from leaderboard.analysis.devices import is_described
from leaderboard.records.record import Record, Seconds
from leaderboard.text import plural

DATE = "%Y-%m-%dT%H:%M:%SZ"
# Clocks of other machines may be ahead by this much.
SKEW = timedelta(days=1)
# Seconds between the limit and the last batch that is still in time, because clocks are read twice.
LATE = 0.1
# Rounding of accuracies, in test images, and of their standard deviation.
ROUNDING, EQUAL = 0.01, 1e-6


def found(record: Record, real: RealTest, now: datetime) -> Iterator[str]:
    """Yield what contradicts itself in the record of a run with status ``ok``.

    Args:
        record: the record.
        real: what is known about the real test images.
        now: the time, with a time zone.
    """
    yield from _in_date(record.created, now)
    yield from _in_time(record)
    yield from _in_shards(record)
    yield from _in_counts(record, real)
    if record.accuracies:
        yield from _in_scores(record)
        yield from _in_confusion(record, real)


def _in_date(created: str, now: datetime) -> Iterator[str]:
    try:
        date = datetime.strptime(created, DATE).replace(tzinfo=UTC)
    except ValueError:
        yield "its date is not a time such as 2026-01-31T12:00:00Z"
        return
    if date > now + SKEW:
        yield f"its date {created} is in the future"


def _in_time(record: Record) -> Iterator[str]:
    if late := _late(record.seconds):
        yield late
    origin = record.origin
    if record.limit_enforced and (origin.kind == "file" or origin.file is not None):
        yield "an enforced limit for a set from a file"
    if not record.limit_enforced and origin.kind == "method":
        yield "a declared limit for a set that a method made here"


def _late(seconds: Seconds) -> str:
    """Return how a limit that was kept does not fit the times; empty: it does."""
    took = max(seconds.used or 0.0, (seconds.load or 0.0) + (seconds.generate or 0.0))
    if seconds.limit is None or took <= seconds.limit + LATE:
        return ""
    return f"made in {took:.1f} s within a limit of {seconds.limit:g} s"


def _in_shards(record: Record) -> Iterator[str]:
    """Compare the shards of a merged set with each other and with the set."""
    shards = record.origin.shards
    numbers = [tuple(map(int, one.shard.split("/"))) for one in shards if one.shard]
    images = [one.images_sha256 for one in shards if one.images_sha256]
    for values in (numbers, images, [one.run_id for one in shards]):
        if len(set(values)) < len(values):
            yield "the same shard twice"
            break
    if len({count for _, count in numbers}) > 1 or any(own >= count for own, count in numbers):
        yield "shards of different sets"
    if not shards or not all(map(is_described, shards)):
        return
    times = [one.seconds for one in shards]
    for one, seconds in zip(shards, times, strict=True):
        if seconds.limit != record.seconds.limit:
            yield f"shard {one.shard} has another time limit than the set"
        if late := _late(seconds):
            yield f"shard {one.shard} {late}"
    took, slowest = record.seconds.sampling or 0.0, max(one.sampling or 0.0 for one in times)
    if abs(took - slowest) > EQUAL:
        yield f"made in {took:.1f} s, but its slowest shard in {slowest:.1f} s"


def _in_counts(record: Record, real: RealTest) -> Iterator[str]:
    if record.interrupted or record.failed_stage:
        yield "status ok of a run that was interrupted or failed"
    if record.generated_per_class > record.ipc:
        yield f"{record.generated_per_class:g} of {record.ipc} images per class are sampled"
    if record.ipc_asked is not None and record.ipc < record.ipc_asked:
        yield f"status ok with {record.ipc} of {record.ipc_asked} images per class"
    sampled = record.generated_per_class * (real.classes or 0)
    # What a file claims to be sampled was not sampled here.
    if record.limit_enforced and record.sampled < sampled:
        yield f"{record.sampled} images sampled for a set with {sampled:g}"


def _in_scores(record: Record) -> Iterator[str]:
    if record.ipc == 0:
        yield "scored without images"
    if record.images_sha256 is None:
        yield "no hash of the images"
    if record.data_sha256 is None:
        yield "no hash of the test images"
    if record.repeats != record.n:
        yield f"{record.n} of {record.repeats} seeds scored"
    if len(set(record.seeds)) < len(record.seeds):
        yield "the same evaluation seed twice"
    spread = stats.summary(record.accuracies)[1]
    if abs((record.accuracy_std or 0.0) - (spread or 0.0)) > EQUAL:
        yield "accuracy_std does not match the accuracies"


def _in_confusion(record: Record, real: RealTest) -> Iterator[str]:
    """Compare the confusion matrix, which sums over all seeds, with the accuracies."""
    matrix, seeds = record.confusion or [], record.n
    classes = real.classes or len(matrix)
    if not matrix or len(matrix) != classes:
        size = f"{len(matrix)} {plural(len(matrix), 'class', 'classes')}"
        yield f"a confusion matrix of {size} instead of {classes or 'some'}"
        return
    counts = [sum(row) for row in matrix]
    total = sum(counts)
    if total == 0 or any(count % seeds for count in counts):
        yield f"a confusion matrix that is no sum over {seeds} seeds"
        return
    is_whole = total == seeds * (real.images or 0)
    if is_whole and real.per_class and set(counts) != {seeds * real.per_class}:
        yield "other numbers of test images per class than the dataset has"
    correct = [accuracy * (total // seeds) for accuracy in record.accuracies]
    if any(abs(number - round(number)) > ROUNDING for number in correct):
        yield f"accuracies that {total // seeds} test images can't give"
    elif sum(map(round, correct)) != sum(row[label] for label, row in enumerate(matrix)):
        yield "accuracies that do not match the confusion matrix"
