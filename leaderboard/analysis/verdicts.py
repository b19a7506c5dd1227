"""Decide which runs are comparable, by the demands of their tracks.

Records may come from strangers. Their own word ``comparable`` counts only against them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from leaderboard.analysis import contradictions, devices
from leaderboard.analysis.demands import Demands, RealTest
from leaderboard.records.record import Reason, Record
from leaderboard.text import one_line, plural

# A clock that shows an earlier time than that of this code is wrong.
WRITTEN = datetime(2026, 12, 1, tzinfo=UTC)


def judged(
    records: Iterable[Record], demands: Mapping[str, Demands], now: datetime | None = None
) -> list[Record]:
    """Return the records, each with the leaderboard's verdict instead of its own word.

    ``comparable`` and ``not_comparable_because`` are replaced. Reasons in a record are kept.

    Args:
        records: the records of all runs.
        demands: what each known track demands, by its name.
        now: the time, with a time zone; None: the time of the call.
    """
    now = present(now)
    return [judge(record, demands.get(record.track), now) for record in records]


def present(now: datetime | None = None) -> datetime:
    """Return the time to judge by: ``now``, or the time of the call."""
    return max(now or datetime.now(UTC), WRITTEN)


def judge(record: Record, demands: Demands | None, now: datetime) -> Record:
    """Return a record with the verdict by the demands of its track, as `judged` does."""
    own = record.not_comparable_because
    codes = {reason.code for reason in own}
    reasons = [*own, *(one for one in _reasons(record, demands, now) if one.code not in codes)]
    if not (reasons or record.comparable):
        reasons = [Reason("unknown", "its record says so")]
    return replace(record, comparable=not reasons, not_comparable_because=reasons)


def _reasons(record: Record, demands: Demands | None, now: datetime) -> Iterator[Reason]:
    """Yield the reasons why a run is not comparable."""
    if record.status != "ok":
        yield Reason("status", f"status {record.status}")
        return
    if demands is None:
        yield Reason("track", _unknown(record))
        return
    real = demands.datasets.get(record.dataset, RealTest())
    checks = [*_making(record, demands), *_scoring(record, demands), *_test_images(record, real)]
    yield from (Reason(code, text) for breaks, code, text in checks if breaks)
    for text in contradictions.found(record, real, now):
        yield Reason("contradiction", text)


def _unknown(record: Record) -> str:
    """Return why the rules of a track are unknown, and what to do."""
    if record.rules:
        return "the rules are in a file: add --track FILE.toml"
    return "the track is not installed"


def _making(record: Record, demands: Demands) -> list[tuple[bool, str, str]]:
    """Return how the set may break the rules: whether it does, the code and the text."""
    limit, deviation = record.seconds.limit, devices.deviation(record, demands.devices)
    rules = record.rules.sha256 if record.rules else ""
    allowed = " or ".join(map(str, demands.ipc))
    category = demands.category(record.ipc)
    return [
        (
            rules != demands.rules_sha256,
            "rules",
            f"{_rules(rules)} instead of {_rules(demands.rules_sha256)}",
        ),
        (
            limit != demands.time_limit,
            "time-limit",
            f"{'no time limit' if limit is None else f'time limit {limit:g} s'} "
            f"instead of {demands.time_limit:g} s",
        ),
        (
            bool(demands.ipc) and record.ipc not in demands.ipc,
            "ipc",
            f"IPC {record.ipc} instead of {allowed}",
        ),
        (
            record.category != category,
            "category",
            f"category {_short(record.category) or 'none'} instead of {category or 'none'}",
        ),
        (record.shard is not None, "shard", f"shard {record.shard}"),
        *([(True, deviation.code, deviation.text)] if deviation else []),
        (
            record.uses_real_data and not demands.real_data,
            "real-data",
            "real training images, which the track forbids",
        ),
    ]


def _scoring(record: Record, demands: Demands) -> list[tuple[bool, str, str]]:
    """Return how scoring may break the rules, as `_making` does."""
    repeats = demands.repeats_at(record.ipc)
    return [
        (
            record.n < repeats,
            "repeats",
            f"{record.n} {plural(record.n, 'seed')} instead of {repeats}",
        ),
        (
            record.recipe != demands.recipe,
            "recipe",
            f"recipe {_short(record.recipe)} instead of {demands.recipe}",
        ),
        (
            record.recipe == demands.recipe and record.recipe_sha256 != demands.recipe_sha256,
            "recipe",
            f"recipe {record.recipe_sha256[:8]} instead of {demands.recipe_sha256[:8]}",
        ),
        (
            record.student != demands.student,
            "student",
            f"student {_short(record.student)} instead of {demands.student}",
        ),
        (
            record.dataset not in demands.datasets,
            "dataset",
            f"dataset {_short(record.dataset)} instead of {' or '.join(demands.datasets)}",
        ),
    ]


def _test_images(record: Record, real: RealTest) -> list[tuple[bool, str, str]]:
    """Return how the test images may differ from those of the dataset, as `_making` does."""
    if not (record.accuracies and record.confusion):
        return []
    tested = sum(map(sum, record.confusion)) // record.n
    own = record.data_sha256 or "unknown"
    return [
        (
            real.images is not None and tested != real.images,
            "test-images",
            f"{tested} test {plural(tested, 'image')} instead of {real.images}",
        ),
        (
            real.sha256 is not None and own != real.sha256,
            "test-images",
            f"test images {own[:8]} instead of {(real.sha256 or '')[:8]}",
        ),
    ]


def _short(text: str) -> str:
    """Return an untrusted text in a form that leaves room for the other reasons."""
    return one_line(text, 40)


def _rules(sha256: str) -> str:
    return f"rules {sha256[:8]}" if sha256 else "rules of an installed track"
