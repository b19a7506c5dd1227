"""Definitions of the columns of all tables: heading, meaning, text, kind and where to show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from leaderboard.analysis.classes import ClassAccuracy
from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import MeanRow, Row
from leaderboard.analysis.standing import Standing
from leaderboard.records.record import Record
from leaderboard.render import image_kinds
from leaderboard.stats import clipped
from leaderboard.text import one_line, plural

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
# The kind of a column decides how a page sorts, links, breaks and colours its cells.
Kind = Literal["text", "number", "name", "interval", "unbroken", "long", "status", "source"]
MAX_REASON = 100  # Characters of the reason why a run failed.


@dataclass(frozen=True)
class Column(Generic[T_contra]):
    """A column of a table.

    Attributes:
        heading: heading of the column, unique in its table.
        meaning: explanation of the heading for readers of a page.
        text: returns the text of a row, which may be untrusted; `cell` makes it safe.
        kind: ``number`` sorts by value, ``name`` links to a run, ``interval`` has a bar,
            ``unbroken`` stays on one line, ``long`` may take several lines, ``status`` is coloured,
            ``source`` links to another site.
        low_first: whether sorting begins with the lowest number, as for a time.
        on_page, on_phone: whether HTML pages show it, and whether they do on a small screen.
        is_extra: whether only wide tables, CSV and users who name it get it.
    """

    heading: str
    meaning: str
    text: Callable[[T_contra], str]
    kind: Kind = "text"
    low_first: bool = False
    on_page: bool = True
    on_phone: bool = True
    is_extra: bool = False

    @property
    def name(self) -> str:
        """Return the heading in lower case without unit, by which users select the column."""
        return self.heading.lower().removeprefix("95 % ").removesuffix(" %").removesuffix(" s")

    def cell(self, row: T_contra) -> str:
        """Return the text of ``row`` on one line."""
        return one_line(self.text(row))


@dataclass(frozen=True)
class Table(Generic[T]):
    """Rows of one type and the columns that show them; ``more`` is how many rows are left out."""

    title: str
    columns: Sequence[Column[T]]
    rows: Sequence[T]
    more: int = 0


def select(
    columns: Sequence[Column[T]], names: Sequence[str], has_extras: bool = True
) -> list[Column[T]]:
    """Return the columns called ``names``, in that order, without names that no column has.

    No names select all columns, but extra ones only if the table ``has_extras``.
    """
    if not names:
        return [column for column in columns if has_extras or not column.is_extra]
    by_name = {column.name: column for column in columns}
    return [by_name[name] for name in names if name in by_name]


def number(value: float | None, digits: int) -> str:
    """Return ``value`` with a fixed number of decimal places, or an empty text for None."""
    return "" if value is None else f"{value:.{digits}f}"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction in per cent without the % sign, or an empty text for None."""
    return "" if fraction is None else f"{100 * fraction:.{digits}f}"


def interval(fractions: Sequence[float] | None) -> str:
    """Return an interval of accuracies in per cent, clipped to 0 to 100; empty for None."""
    bounds = clipped(fractions)
    return f"{percent(bounds[0])} to {percent(bounds[1])}" if bounds else ""


def method_name(record: Record | Standing) -> str:
    """Return the method with its explicit options, or the name of the team."""
    return one_line(" ".join([record.method, *record.explicit_options]))


def _limit(record: Record) -> str:
    return number(record.seconds.limit, 0) + ("" if record.limit_enforced else " (declared)")


def _hardware(record: Record) -> str:
    """Return the GPU, or else the CPU, that sampled the images. It is unknown for a file."""
    if not record.limit_enforced:
        return ""
    hardware = record.hardware
    if gpu := hardware.get("gpu"):
        return f"{hardware['gpus']}x {gpu}" if hardware.get("gpus", 1) != 1 else str(gpu)
    cores = hardware.get("cores")
    count = f", {cores} {plural(cores, 'core')}" if cores else ""
    return str(hardware.get("cpu") or record.device or "") + count


def _status(row: Row) -> str:
    """Return the status, the reason if it is not ok or not comparable, and the remarks."""
    record, status = row.record, str(row.record.status)
    copies = image_kinds.copied_from_test(record) if status in ("ok", "timeout") else ""
    if status == "ok" and not record.comparable:
        status = f"ok, not comparable: {reasons(record)}"
    elif record.message and status != "ok":
        status = f"{status}: {one_line(record.message, MAX_REASON)}"
    return "; ".join(filter(None, [status, copies, *row.remarks]))


def reasons(record: Record) -> str:
    """Return the reasons why a run is not comparable."""
    return "; ".join(reason.text for reason in record.not_comparable_because)


RANK: Column[Row | MeanRow] = Column(
    "rank",
    "Position among the comparable entries of the table, by IPC if the track allows several. A "
    "range such as 1-2 is shared by entries between which Welch's test (5 %) finds no difference. "
    "Empty if the entry is not ranked.",
    lambda row: row.rank,
    "number",
    low_first=True,
)
METHOD: Column[Row | MeanRow] = Column(
    "method",
    "Name of the method with the options that were set, or name of the team.",
    lambda row: method_name(row.record),
    "name",
)
INTERVAL: Column[Row | MeanRow] = Column(
    "95 % interval",
    "Student's t interval of the mean over the evaluation seeds, in per cent.",
    lambda row: interval(row.accuracy_ci95),
    "interval",
)
SEEDS: Column[Row | MeanRow] = Column(
    "n", "Number of evaluation seeds.", lambda row: str(row.n), "number"
)

RUN: tuple[Column[Row], ...] = (
    RANK,
    METHOD,
    Column("IPC", "Images per class in the set.", lambda row: str(row.record.ipc), "number"),
    Column(
        "images",
        "How the images were made. Sampled: by a generative model. Augmented: some are altered "
        "copies. Selected: chosen from a larger pool of samples. Refined: samples whose pixels or "
        "latents were optimised, and which are no longer samples. Real: copies of training images, "
        "which ddbench looks for in every set.",
        lambda row: image_kinds.kind(row.record),
        on_phone=False,
    ),
    Column(
        "accuracy %",
        "Mean accuracy on the real test images over the evaluation seeds, in per cent.",
        lambda row: percent(row.accuracy_mean),
        "number",
    ),
    INTERVAL,
    SEEDS,
    Column(
        "images/s",
        "Images sampled per second, after loading.",
        lambda row: number(row.record.images_per_second, 1),
        "number",
        on_phone=False,
    ),
    Column(
        "time s",
        "Seconds to generate the set, including loading.",
        lambda row: number(row.record.seconds.sampling, 1),
        "number",
        low_first=True,
    ),
    Column(
        "device-seconds",
        "Seconds to generate the set, times its devices; for a merged set, those of all shards.",
        lambda row: number(row.record.device_seconds, 1),
        "number",
        on_page=False,
        is_extra=True,
    ),
    Column(
        "limit s",
        "Time limit in seconds. A declared limit was not enforced.",
        lambda row: _limit(row.record),
        "number",
        on_phone=False,
    ),
    Column(
        "model",
        "Generative model, as reported by the method.",
        lambda row: row.record.model or "",
        "unbroken",
        on_phone=False,
    ),
    Column(
        "hardware",
        "GPU, or else CPU, that generated the set.",
        lambda row: _hardware(row.record),
        "text",
        on_phone=False,
    ),
    Column(
        "date",
        "Date of the record (UTC).",
        lambda row: row.record.created[:10],
        "unbroken",
        on_page=False,
    ),
    Column(
        "status",
        "How the run ended: ok, timeout (too few images at the time limit), invalid or error, "
        "and why. A run that is not comparable is not ranked; the reasons follow. Others with the "
        "same images are named. Hashes tell apart runs that are ranked separately.",
        _status,
        "status",
    ),
    Column("run", "Id of the run.", lambda row: row.record.run_id, on_page=False),
)
CSV: tuple[Column[Row], ...] = (
    Column("track", "Name of the track.", lambda row: row.record.track),
    Column("dataset", "Name of the dataset.", lambda row: row.record.dataset),
    *RUN,
)
PUBLISHED: tuple[Column[PublishedResult], ...] = (
    Column("method", "Name of the method in its source.", lambda result: result.method, "name"),
    Column(
        "IPC",
        "Images per class. The whole training set is shown as all.",
        lambda result: str(result.ipc or "all"),
        "number",
    ),
    Column(
        "accuracy %",
        "Published accuracy on the real test images, in per cent.",
        lambda result: _published_percent(result.accuracy),
        "number",
    ),
    Column("student", "Network that was trained.", lambda result: result.student, on_phone=False),
    Column(
        "protocol",
        "How the student was trained.",
        lambda result: result.protocol,
        "long",
        on_phone=False,
    ),
    Column(
        "source",
        "Where the result was published. Nobody has checked an unverified figure against its "
        "source.",
        lambda result: result.source if result.verified else f"unverified {result.source}",
        "source",
    ),
)

CLASS: tuple[Column[ClassAccuracy], ...] = (
    Column("class", "True class of the test images.", lambda row: row.name),
    Column(
        "accuracy %",
        "Share of the test images of this class that were classified correctly, in per cent.",
        lambda row: percent(row.accuracy, 1),
        "number",
    ),
    Column(
        "most often taken for",
        "Class that the other images were predicted as most often, with the number of predictions "
        "over all seeds.",
        lambda row: _confusion(row),
    ),
)


def mean_columns(datasets: Iterable[str]) -> tuple[Column[MeanRow], ...]:
    """Return the columns of means over ``datasets``."""
    return (
        RANK,
        METHOD,
        Column(
            "IPC",
            "Images per class. There are several values if the datasets differ.",
            lambda row: ", ".join(dict.fromkeys(str(run.ipc) for run in _runs_in_order(row))),
            "number",
        ),
        *(
            Column(
                f"{dataset} %",
                f"Mean accuracy on {dataset} over the evaluation seeds, in per cent.",
                _dataset_percent(dataset),
                "number",
            )
            for dataset in datasets
        ),
        Column(
            "mean %",
            "Mean accuracy over the datasets, in per cent.",
            lambda row: percent(row.accuracy_mean),
            "number",
        ),
        INTERVAL,
        SEEDS,
        Column("missing", "Why there is no mean.", lambda row: row.missing, "long"),
    )


def _dataset_percent(dataset: str) -> Callable[[MeanRow], str]:
    def text(row: MeanRow) -> str:
        return percent(row.runs[dataset].accuracy_mean) if dataset in row.runs else ""

    return text


def _runs_in_order(row: MeanRow) -> list[Standing]:
    return [row.runs[dataset] for dataset in row.datasets if dataset in row.runs]


def _confusion(row: ClassAccuracy) -> str:
    return f"{row.confused_with} ({row.confusions})" if row.confused_with is not None else ""


def _published_percent(fraction: float) -> str:
    """Return an accuracy with as many decimal places as were published."""
    return percent(fraction, 1 if round(fraction * 1000, 6).is_integer() else 2)


def names() -> list[str]:
    """Return the names of all columns of runs, means and published results."""
    tables: tuple[Sequence[Column[Any]], ...] = (CSV, mean_columns(()), PUBLISHED)
    return list(dict.fromkeys(column.name for columns in tables for column in columns))
