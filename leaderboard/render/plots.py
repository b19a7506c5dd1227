"""Plots of a track's runs, as SVG files that follow the reader's light or dark theme."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leaderboard.analysis.published import PublishedResult
from leaderboard.analysis.ranking import Row
from leaderboard.records.record import Record
from leaderboard.render.columns import method_name
from leaderboard.render.matplotlib_import import import_matplotlib
from leaderboard.stats import clipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# These are readable on white and on near-black. More colours would be hard to tell apart.
COLOURS = ("#3b82c4", "#d9730d", "#2f9e62", "#c2477f", "#8a6fd1", "#b58900", "#1fa3a3", "#a0522d")
OTHERS = "#8a8f98"
# Placeholders, which become the colours of the theme.
INK, GRID = "#010203", "#040506"
MAX_TICKS = 8
# Characters of a method's name in a legend, and of one of its lines.
MAX_LABEL, LABEL_WIDTH = 44, 24
STYLE = """<style>
:root { --ink: #22262c; --grid: #dfe2e6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --grid: #3a3f47 } }
@media print { :root { --ink: #22262c; --grid: #dfe2e6 } }
</style>"""
# A run and its position on the horizontal axis.
Point = tuple[Row, float]


@dataclass(frozen=True)
class Axis:
    """A horizontal axis of an accuracy plot.

    Attributes:
        name: name of the axis in file names.
        words: name of the axis in a sentence.
        label: label of the axis in the plot.
        value: returns the position of a run. A run with None or 0 is left out.
        limit: returns a run's limit to mark on this axis.
        published: returns the position of a published result.
        whole: whether the values are a few whole numbers that get a tick each.
    """

    name: str
    words: str
    label: str
    value: Callable[[Record], float | None]
    limit: Callable[[Record], float | None] = lambda record: None
    published: Callable[[PublishedResult], float | None] = lambda result: None
    whole: bool = False


IPC = Axis(
    name="ipc",
    words="images per class",
    label="images per class",
    value=lambda record: float(record.ipc),
    published=lambda result: result.ipc and float(result.ipc),
    whole=True,
)
SECONDS = Axis(
    name="seconds",
    words="generation time",
    label="generation time in seconds, including loading",
    value=lambda record: record.seconds.sampling,
    limit=lambda record: record.seconds.limit,
)


def accuracy(
    rows: Sequence[Row], against: Axis, published: Sequence[PublishedResult] = ()
) -> str | None:
    """Return an SVG of accuracies with 95 % intervals, or None if there is nothing to compare.

    That is so without runs, and if all marks are at the same place on the horizontal axis.
    Comparable runs have filled marks, and other runs hollow ones. Published results are grey
    diamonds.
    """
    points = [(row, against.value(row.record) or 0.0) for row in plotted(rows, against)]
    results = [
        (place, result) for result in published if (place := against.published(result)) is not None
    ]
    if not points or len({place for _, place in points} | {place for place, _ in results}) < 2:
        return None
    import_matplotlib()
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    _draw_runs(axes, points, _colours(rows))
    _draw_published(axes, results)
    limits = _draw_limits(axes, [row for row, _ in points], against)
    elsewhere = [place for place, _ in results] + limits
    _scale(axes, [*(place for _, place in points), *elsewhere], against.whole)
    _dress(figure, axes, against.label)
    return _svg(figure)


def plotted(rows: Sequence[Row], against: Axis) -> list[Row]:
    """Return the rows that have a position in the plot."""
    return [row for row in rows if row.accuracy_mean is not None and against.value(row.record)]


def _colours(rows: Sequence[Row]) -> dict[str, str]:
    """Return a colour for each of the best methods, including those that this plot leaves out.

    A method therefore has the same colour in all plots of a dataset.
    """
    scored = [row for row in rows if row.accuracy_mean is not None]
    best_first = sorted(scored, key=lambda row: -(row.accuracy_mean or 0.0))
    names = dict.fromkeys(method_name(row.record) for row in best_first)
    return dict(zip(names, COLOURS, strict=False))


def _draw_runs(axes: Axes, points: Sequence[Point], colours: dict[str, str]) -> None:
    """Draw all runs, with those of the best method on top."""
    named = [(method_name(row.record), (row, place)) for row, place in points]
    others = [point for name, point in named if name not in colours]
    _draw_method(axes, others, "other methods", OTHERS)
    for method, colour in reversed(colours.items()):
        _draw_method(axes, [point for name, point in named if name == method], method, colour)


def _draw_method(axes: Axes, points: Sequence[Point], name: str, colour: str) -> None:
    """Draw the runs of a method with one label. Comparable runs are filled."""
    # Matplotlib hides labels that begin with an underscore. An untrusted name may be long.
    short = f"{name[: MAX_LABEL - 1]}…" if len(name) > MAX_LABEL else name
    label: str | None = "\n".join(f" {line}" for line in textwrap.wrap(short, LABEL_WIDTH))
    for filled in (True, False):
        some = [point for point in points if point[0].is_comparable == filled]
        if some:
            _draw_marks(axes, some, colour, filled, label)
            label = None


def _draw_marks(
    axes: Axes, points: Sequence[Point], colour: str, filled: bool, label: str | None
) -> None:
    """Draw means with their intervals.

    Args:
        axes: the axes to draw on.
        points: runs and their positions.
        colour: colour of the marks and intervals.
        filled: whether the marks are filled.
        label: label for the legend. None adds no entry.
    """
    import numpy as np

    means = [100 * (row.accuracy_mean or 0.0) for row, _ in points]
    # A run with a single seed has no interval.
    ends = [clipped(row.accuracy_ci95) or (math.nan, math.nan) for row, _ in points]
    # Rounding may put an end on the other side of the mean.
    errors = [
        (np.maximum(0, mean - 100 * low), np.maximum(0, 100 * high - mean))
        for mean, (low, high) in zip(means, ends, strict=True)
    ]
    axes.errorbar(
        [place for _, place in points],
        means,
        list(zip(*errors, strict=True)),
        fmt="o",
        label=label,
        color=colour,
        markerfacecolor=colour if filled else "none",
        markersize=5.5,
        capsize=3,
        linewidth=1.3,
    )


def _draw_published(axes: Axes, results: Sequence[tuple[float, PublishedResult]]) -> None:
    if results:
        axes.plot(
            [place for place, _ in results],
            [100 * result.accuracy for _, result in results],
            "D",
            color=OTHERS,
            markerfacecolor="none",
            markersize=5,
            label="published, not ranked",
        )


def _draw_limits(axes: Axes, rows: Sequence[Row], against: Axis) -> list[float]:
    """Draw the limits of the runs as lines, and return the limits."""
    limits = [limit for limit in {against.limit(row.record) for row in rows} if limit]
    for limit in limits:
        label = "time limit" if len(limits) == 1 else None
        axes.axvline(limit, color=INK, linestyle=":", linewidth=1, label=label)
    return limits


def _scale(axes: Any, values: Sequence[float], whole: bool) -> None:
    """Set the range, scale and ticks of the horizontal axis.

    Values that are far apart get a logarithmic scale. A few whole numbers get a tick each.
    """
    low, high = min(values), max(values)
    if high / low > 10:
        axes.set_xscale("log")
        axes.set_xlim(low / 2, high * 2)
    else:
        margin = 0.15 * (high - low) or 0.5 * high
        axes.set_xlim(max(0, low - margin), high + margin)
    ticks = sorted(set(values))
    if whole and len(ticks) <= MAX_TICKS:
        axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axes.minorticks_off()
    elif high / low > 10:
        axes.xaxis.set_major_formatter("{x:g}")


def _dress(figure: Figure, axes: Axes, xlabel: str) -> None:
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel("accuracy %", color=INK)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    legend = figure.legend(
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        loc="outside lower center",
        ncols=2,
        reverse=True,
    )
    # An untrusted name must not be parsed as a formula.
    for text in legend.get_texts():
        text.set_parse_math(False)


def _svg(figure: Figure) -> str:
    import matplotlib as mpl

    out = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "ddbench", "font.family": "sans-serif"}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The reader's browser draws the text with its own font.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "var(--ink)").replace(GRID, "var(--grid)")
    return svg.replace("<defs>", f"{STYLE}<defs>", 1)
