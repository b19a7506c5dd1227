"""Plots of a track's runs as SVG that follows the reader's light or dark theme."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

from leaderboard.analysis.published import Reference
from leaderboard.analysis.ranking import Row
from leaderboard.analysis.stats import within
from leaderboard.render import tables as table

COLOURS = (
    "#3b82c4",
    "#d9730d",
    "#2f9e62",
    "#c2477f",
    "#8a6fd1",
    "#b58900",
    "#1fa3a3",
    "#a0522d",
)  # readable on white and near-black; more can't be told apart
MOST_MARKS = 8  # of numbers on an axis
INK, GRID, OTHERS = (
    "#010203",
    "#040506",
    "#8a8f98",
)  # the first two are replaced by what the theme says
STYLE = """<style>
:root { --ink: #22262c; --grid: #dfe2e6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --grid: #3a3f47 } }
@media print { :root { --ink: #22262c; --grid: #dfe2e6 } }
</style>"""


def accuracy(rows: Sequence[Row], against: str, published: Sequence[Reference] = ()) -> str | None:
    """SVG of accuracies with their 95 % intervals against ``ipc`` or the ``seconds`` that the set took; None where there is nothing to draw.

    Filled marks are comparable runs, hollow ones are not; with images per class, published results are grey diamonds.
    """
    drawn = [(row, _x(row, against) or 0.0) for row in shown(rows, against)]
    if not drawn:
        return None
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    scored = sorted(
        (row for row in rows if row["accuracy_mean"] is not None),
        key=lambda row: -row["accuracy_mean"],
    )
    names = list(
        dict.fromkeys(map(table.name, scored))
    )  # also of those that aren't drawn, for one colour in all plots
    coloured = dict(zip(names, COLOURS, strict=False))
    _marks(
        axes,
        [(row, x) for row, x in drawn if table.name(row) not in coloured],
        "other methods",
        OTHERS,
    )
    for name, colour in reversed(coloured.items()):  # the best on top
        _marks(axes, [(row, x) for row, x in drawn if table.name(row) == name], name, colour)
    if against == "ipc":
        _published(axes, published)
    limits = [
        limit
        for limit in {row["seconds"].limit or 0.0 for row, _ in drawn}
        if limit and against == "seconds"
    ]
    for limit in limits:
        axes.axvline(
            limit,
            color=INK,
            linestyle=":",
            linewidth=1,
            label="time limit" if len(limits) == 1 else None,
        )
    elsewhere = [float(one.ipc) for one in published if one.ipc] if against == "ipc" else limits
    _scale(axes, [*(x for _, x in drawn), *elsewhere], against == "ipc")
    _dress(
        figure,
        axes,
        "images per class"
        if against == "ipc"
        else "seconds to make the set, model loading included",
    )
    return _svg(figure)


def shown(rows: Sequence[Row], against: str) -> list[Row]:
    """Those that have a place in the plot."""
    return [row for row in rows if row["accuracy_mean"] is not None and _x(row, against)]


def _x(row: Row, against: str) -> float | None:
    return float(row["ipc"]) if against == "ipc" else table.made(row)


def _marks(axes: Any, drawn: Sequence[tuple[Row, float]], name: str, colour: str) -> None:
    """A method's runs. Names come from strangers: no part of them is taken for a formula, and they are cut."""
    label: str | None = (
        f" {name[:39]}…" if len(name) > 40 else f" {name}"
    )  # matplotlib hides what begins with _
    import numpy as np

    for ranked in (True, False):
        some = [
            (row, x) for row, x in drawn if (row["comparable"] and row["status"] == "ok") == ranked
        ]
        if not some:
            continue
        means = [100 * row["accuracy_mean"] for row, _ in some]
        ends = [
            within(row["accuracy_ci95"]) or (math.nan, math.nan) for row, _ in some
        ]  # of one seed nothing is known
        errors = [
            (np.maximum(0, mean - 100 * low), np.maximum(0, 100 * high - mean))
            for mean, (low, high) in zip(means, ends, strict=True)
        ]  # rounding may make them less
        style = {
            "color": colour,
            "markerfacecolor": colour if ranked else "none",
            "markersize": 5.5,
            "capsize": 3,
            "linewidth": 1.3,
        }
        axes.errorbar(
            [x for _, x in some],
            means,
            list(zip(*errors, strict=True)),
            fmt="o",
            label=label,
            **style,
        )
        label = None


def _published(axes: Any, published: Sequence[Reference]) -> None:
    known = [one for one in published if one.ipc]
    if known:
        label = "published, other evaluation"
        axes.plot(
            [one.ipc for one in known],
            [100 * one.accuracy for one in known],
            "D",
            color=OTHERS,
            markerfacecolor="none",
            markersize=5,
            label=label,
        )


def _scale(axes: Any, values: Sequence[float], whole: bool) -> None:
    """Room at both sides; a logarithmic axis for values far apart, with a mark at each where they are few numbers of images."""
    low, high = min(values), max(values)
    if high / low > 10:
        axes.set_xscale("log")
        axes.set_xlim(low / 2, high * 2)
    else:
        margin = 0.15 * (high - low) or 0.5 * high
        axes.set_xlim(max(0, low - margin), high + margin)
    if whole and len(set(values)) <= MOST_MARKS:
        axes.set_xticks(sorted(set(values)), [f"{value:g}" for value in sorted(set(values))])
        axes.minorticks_off()
    elif high / low > 10:
        axes.xaxis.set_major_formatter("{x:g}")


def _dress(figure: Any, axes: Any, xlabel: str) -> None:
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
    for text in legend.get_texts():
        text.set_parse_math(False)


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    out = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "ddbench", "font.family": "sans-serif"}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's font draws the text
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "var(--ink)").replace(GRID, "var(--grid)")
    return svg.replace("<defs>", f"{STYLE}<defs>", 1)
