"""The columns of the leaderboard's tables, each once: heading, text, kind, where it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from leaderboard.analysis.classes import ClassAccuracy
from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import MeanRow, Row
from leaderboard.records.record import Record
from leaderboard.stats import clipped
from leaderboard.text import one_line

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
# What a column holds decides how a page sorts, links, breaks and colours its cells.
Kind = Literal["text", "number", "name", "interval", "unbroken", "long", "status", "source"]


@dataclass(frozen=True)
class Column(Generic[T_contra]):
    """A column of a table.

    Attributes:
        heading: unique in its table.
        text: returns the text of a row, which may be untrusted; `cell` makes it safe.
        kind: ``number`` sorts by value; ``name`` links to a run; ``interval`` has a bar;
            ``unbroken`` stays on one line; ``long`` may take several; ``source`` links elsewhere.
        in_terminal: a terminal has room for it.
        on_page: HTML pages have it.
        on_phone: so do pages on a small screen.
    """

    heading: str
    text: Callable[[T_contra], str]
    kind: Kind = "text"
    in_terminal: bool = True
    on_page: bool = True
    on_phone: bool = True

    def cell(self, row: T_contra) -> str:
        """Return the text of ``row`` on one line."""
        return one_line(self.text(row))


@dataclass(frozen=True)
class Table(Generic[T]):
    """Rows of one type with the columns that show them."""

    title: str
    columns: Sequence[Column[T]]
    rows: Sequence[T]


def number(value: float | None, digits: int) -> str:
    """Return ``value`` with a fixed number of digits; empty for None."""
    return "" if value is None else f"{value:.{digits}f}"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction in per cent, without the sign; empty for None."""
    return "" if fraction is None else f"{100 * fraction:.{digits}f}"


def interval(fractions: Sequence[float] | None) -> str:
    """Return an interval of accuracies in per cent, cut to where they can be; empty for None."""
    bounds = clipped(fractions)
    return f"{percent(bounds[0])} to {percent(bounds[1])}" if bounds else ""


def method_name(record: Record) -> str:
    """Return the method with the options that were given, or the team."""
    return one_line(" ".join([record.method, *record.explicit_options]))


def _limit(record: Record) -> str:
    return number(record.seconds.limit, 0) + ("" if record.limit_enforced else " (declared)")


def _hardware(record: Record) -> str:
    """Return what sampled the images, the GPU or else the processor; a file does not tell."""
    if not record.limit_enforced:
        return ""
    hardware = record.hardware
    if gpu := hardware.get("gpu"):
        return f"{hardware['gpus']}x {gpu}" if hardware.get("gpus", 1) != 1 else str(gpu)
    cores = f", {hardware['cores']} cores" if hardware.get("cores") else ""
    return str(hardware.get("cpu") or record.device or "") + cores


def _status(record: Record) -> str:
    """Return the status, and why a run that went well is not ranked."""
    if record.status != "ok" or record.comparable:
        return record.status
    return f"ok, not comparable: {reasons(record)}"


def reasons(record: Record) -> str:
    """Return why a run is not comparable."""
    return "; ".join(reason.text for reason in record.not_comparable_because)


def _ipcs(runs: Iterable[Record]) -> str:
    return ", ".join(dict.fromkeys(str(run.ipc) for run in runs))


RANK: Column[Row | MeanRow] = Column("rank", lambda row: row.rank, "number")
METHOD: Column[Row | MeanRow] = Column("method", lambda row: method_name(row.record), "name")
INTERVAL: Column[Row | MeanRow] = Column(
    "95 % interval", lambda row: interval(row.accuracy_ci95), "interval"
)
SEEDS: Column[Row | MeanRow] = Column("n", lambda row: str(row.n), "number")

RUN: tuple[Column[Row], ...] = (
    RANK,
    METHOD,
    Column("IPC", lambda row: str(row.record.ipc), "number"),
    Column("accuracy %", lambda row: percent(row.accuracy_mean), "number"),
    INTERVAL,
    SEEDS,
    Column(
        "images/s", lambda row: number(row.record.images_per_second, 1), "number", on_phone=False
    ),
    Column("time s", lambda row: number(row.record.seconds.sampling, 1), "number"),
    Column("limit s", lambda row: _limit(row.record), "number", on_phone=False),
    Column(
        "model", lambda row: row.record.model or "", "unbroken", in_terminal=False, on_phone=False
    ),
    Column(
        "hardware",
        lambda row: _hardware(row.record),
        "unbroken",
        in_terminal=False,
        on_phone=False,
    ),
    Column(
        "date", lambda row: row.record.created[:10], "unbroken", in_terminal=False, on_phone=False
    ),
    Column("status", lambda row: _status(row.record), "status"),
    Column("run", lambda row: row.record.run_id, on_page=False),
)
CSV: tuple[Column[Row], ...] = (
    Column("track", lambda row: row.record.track),
    Column("dataset", lambda row: row.record.dataset),
    *RUN,
)
PUBLISHED: tuple[Column[PublishedResult], ...] = (
    Column("method", lambda result: result.method, "name"),
    Column("IPC", lambda result: str(result.ipc or "all"), "number"),
    Column("accuracy %", lambda result: _published_percent(result.accuracy), "number"),
    Column("student", lambda result: result.student, on_phone=False),
    Column("protocol", lambda result: result.protocol, "long", on_phone=False),
    Column(
        "source",
        lambda result: result.source if result.verified else f"unverified {result.source}",
        "source",
    ),
)

CLASS: tuple[Column[ClassAccuracy], ...] = (
    Column("class", lambda row: row.name),
    Column("accuracy %", lambda row: percent(row.accuracy, 1), "number"),
    Column("most often taken for", lambda row: _confusion(row)),
)


def mean_columns(datasets: Iterable[str]) -> tuple[Column[MeanRow], ...]:
    """Return the columns of means over ``datasets``."""
    return (
        RANK,
        METHOD,
        Column("IPC", lambda row: _ipcs(_runs_in_order(row)), "number"),
        *(Column(f"{dataset} %", _dataset_percent(dataset), "number") for dataset in datasets),
        Column("mean %", lambda row: percent(row.accuracy_mean), "number"),
        INTERVAL,
        SEEDS,
        Column("missing", lambda row: row.missing, "long"),
    )


def _dataset_percent(dataset: str) -> Callable[[MeanRow], str]:
    def text(row: MeanRow) -> str:
        return percent(row.runs[dataset].accuracy_mean) if dataset in row.runs else ""

    return text


def _runs_in_order(row: MeanRow) -> list[Record]:
    return [row.runs[dataset] for dataset in row.datasets if dataset in row.runs]


def _confusion(row: ClassAccuracy) -> str:
    return f"{row.confused_with} ({row.confusions})" if row.confused_with is not None else ""


def _published_percent(fraction: float) -> str:
    """Return an accuracy with as many digits as were published."""
    return percent(fraction, 1 if round(fraction * 1000, 6).is_integer() else 2)
