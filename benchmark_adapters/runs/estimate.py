"""What a run will cost: its time as a function of images, classes and batch, fitted to a short trial of the method."""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_adapters.execution.supervisor import Enough, Outcome, supervise
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs.request import Plan
from benchmark_adapters.types import UserError

TRIAL, ROUNDS = 6.0, 4  # seconds of sampling, and rounds, that a trial takes at least
FRACTION = 4  # the second trial's batch is this part of the first's
SHOWN = (1, 2, 5)  # times powers of ten: the IPC of the table


@dataclass(frozen=True)
class Trace:
    """Rounds of one size in one trial: for each the seconds since the round before the first, and how many images were sampled in it."""

    batch: int | None
    seconds: list[float]
    sampled: list[int]


@dataclass(frozen=True)
class Cost:
    """seconds = start + prompts * per_prompt + batches * per_batch + sampled images * per_image.

    Attributes:
        start: seconds until the model is ready, without its prompts.
        prompts: distinct ones of each class.
        copies: images that one sampled image gives.
        batch: the default one.
    """

    start: float
    prompts: float
    per_prompt: float
    per_batch: float
    per_image: float
    copies: float
    batch: int

    def seconds(self, ipc: int, classes: int, batch: int | None = None) -> float:
        """Of a set of ``ipc`` images per class."""
        sampled = math.ceil(ipc / self.copies) * classes
        return (
            self.start
            + self.prompts * classes * self.per_prompt
            + math.ceil(sampled / (batch or self.batch)) * self.per_batch
            + sampled * self.per_image
        )

    def most(self, limit: float, classes: int) -> int:
        """The largest IPC that ``limit`` seconds allow; 0 where they allow none."""
        low, high = 0, 1
        while self.seconds(high, classes) <= limit and high < 10**9:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.seconds(middle, classes) <= limit else (low, middle)
        return low


def measure(todo: Plan) -> tuple[Cost, list[Trace]]:
    """Runs the method for some seconds past loading, with its default batch and, where it has that option, with a smaller one.

    Raises:
        UserError: the method failed, or made too few rounds by the limit to tell; or several processes are to share the work.
    """
    if todo.processes > 1 or todo.shard[1] > 1:
        raise UserError("--plan tries a single process; give it without --processes and --shard")
    endless = replace(todo, ipc=None)
    outcome, first = _trial(endless)
    traces = [first]
    if (
        first.batch
        and first.batch >= 2 * FRACTION
        and "batch" in todo.options
        and todo.options["batch"] is None
    ):
        smaller = replace(endless, options={**todo.options, "batch": first.batch // FRACTION})
        traces.append(_trial(smaller)[1])
    return fit(outcome, traces, todo.dataset.num_classes), traces


def fit(outcome: Outcome, traces: Sequence[Trace], classes: int) -> Cost:
    """The cost whose coefficients, none of them negative, come nearest to ``traces``; loading is that of ``outcome``."""
    import numpy as np
    from scipy.optimize import nnls

    rows = [
        (number + 1, count)
        for trace in traces
        for number, count in enumerate(np.cumsum(trace.sampled))
    ]
    (per_batch, per_image), _ = nnls(
        np.array(rows, float), np.array([time for trace in traces for time in trace.seconds])
    )
    prompts, text = (
        outcome.facts.get("prompts_encoded", 0),
        outcome.facts.get("prompts_seconds", 0.0),
    )
    batch = traces[0].batch or max(traces[0].sampled)
    copies = outcome.images / outcome.sampled
    return Cost(
        (outcome.load or 0.0) - text,
        prompts / classes,
        text / prompts if prompts else 0.0,
        float(per_batch),
        float(per_image),
        copies,
        batch,
    )


def table(cost: Cost, todo: Plan) -> list[dict[str, Any]]:
    """IPC and seconds, up to the most that the limit allows and the run's own IPC."""
    classes = todo.dataset.num_classes
    most = cost.most(todo.time_limit, classes)
    wanted = sorted(
        {
            step * 10**power
            for power in range(9)
            for step in SHOWN
            if step * 10**power < max(most, 10)
        }
        | {most, todo.ipc or most} - {0}
    )
    return [
        {
            "IPC": ipc,
            "sampled per class": math.ceil(ipc / cost.copies),
            "seconds": round(cost.seconds(ipc, classes), 1),
            "in the limit": "yes" if ipc <= most else "no",
        }
        for ipc in wanted
    ]


def save(folder: Path, name: str, cost: Cost, traces: Sequence[Trace]) -> Path:
    """Writes the numbers, and a plot of what was measured and fitted; returns the plot's file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    document = {"cost": asdict(cost), "traces": [asdict(trace) for trace in traces]}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for trace, marker in zip(traces, "os", strict=False):
        totals = [sum(trace.sampled[: number + 1]) for number in range(len(trace.sampled))]
        fitted = [
            (number + 1) * cost.per_batch + total * cost.per_image
            for number, total in enumerate(totals)
        ]
        (line,) = axes.plot(totals, fitted, label=f"fitted, batch {trace.batch}")
        axes.plot(
            totals,
            trace.seconds,
            marker,
            color=line.get_color(),
            alpha=0.4,
            markersize=4,
            label=f"measured, batch {trace.batch}",
        )
    axes.set(xlabel="sampled images", ylabel="seconds", title=name)
    axes.legend()
    path = folder / f"{name}.svg"
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)
    return path


def _trial(todo: Plan) -> tuple[Outcome, Trace]:
    """The method for at least `TRIAL` seconds and `ROUNDS` rounds, or until the limit."""

    def heard(outcome: Outcome) -> None:
        steady = _steady(outcome)
        if len(steady) > ROUNDS and steady[-1][0] - steady[0][0] > TRIAL:
            raise Enough

    with tempfile.TemporaryDirectory() as folder:
        outcome = supervise(harness.jobs(todo), todo.time_limit, Path(folder), heard)
    if outcome.end in ("invalid", "error"):
        raise UserError(f"the trial of {todo.method.name} failed: {outcome.message}")
    if not outcome.sampled or outcome.load is None:
        raise UserError(
            f"{todo.method.name} made no sampled images in {todo.time_limit:g} s; nothing to plan by"
        )
    (began, _), *steady = _steady(outcome)
    if not steady:
        raise UserError(
            f"{todo.method.name} made one round in {todo.time_limit:g} s; nothing to plan by"
        )
    return outcome, Trace(
        outcome.facts.get("batch"),
        [elapsed - began for elapsed, _ in steady],
        [sampled for _, sampled in steady],
    )


def _steady(outcome: Outcome) -> list[tuple[float, int]]:
    """The last rounds that are all of one size: a GPU's are preceded by those in which the size is looked for."""
    size = outcome.rounds[-1][1]
    return list(itertools.takewhile(lambda one: one[1] == size, reversed(outcome.rounds)))[::-1]
