"""Estimate how long a run takes: fit a cost model to short trials of the method."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmark_adapters.execution import supervisor
from benchmark_adapters.execution.outcome import Batch, Outcome
from benchmark_adapters.execution.supervisor import StopSampling
from benchmark_adapters.files import replacing
from benchmark_adapters.runs.request import SamplingPlan
from benchmark_adapters.runs.sources.method import jobs, protection
from benchmark_adapters.types import UserError
from leaderboard.render.matplotlib_import import import_matplotlib

# Minimum length of a trial: seconds of sampling, and number of batches.
MIN_SECONDS, MIN_BATCHES = 6.0, 4
# The batch size of the second trial is that of the first, divided by this number.
BATCH_DIVISOR = 4
# The table lists these values of IPC, times powers of ten.
TABLE_STEPS = (1, 2, 5)
MAX_IPC = 10**9


@dataclass(frozen=True)
class Trace:
    """The batches of one size in one trial.

    Attributes:
        batch: the batch size that the method reported.
        seconds: for each batch, the time since the batch before the first.
        sampled: number of images sampled in each batch.
    """

    batch: int | None
    seconds: list[float]
    sampled: list[int]


@dataclass(frozen=True)
class Cost:
    """Cost model of a run.

    seconds = start + prompts * per_prompt + batches * per_batch + sampled images * per_image

    Attributes:
        start: seconds until the model is ready, except for encoding prompts.
        prompts: number of distinct prompts per class.
        per_prompt: seconds for encoding one prompt.
        per_batch: seconds per batch.
        per_image: seconds per sampled image.
        copies: number of images per sampled image, including the sampled image.
        batch: the default batch size.
    """

    start: float
    prompts: float
    per_prompt: float
    per_batch: float
    per_image: float
    copies: float
    batch: int

    def seconds(self, ipc: int, classes: int, batch: int | None = None) -> float:
        """Return the seconds needed for a set with ``ipc`` images per class."""
        sampled = math.ceil(ipc / self.copies) * classes
        batches = math.ceil(sampled / (batch or self.batch))
        prompts = self.prompts * classes * self.per_prompt
        return self.start + prompts + batches * self.per_batch + sampled * self.per_image

    def max_ipc(self, limit: float, classes: int) -> int:
        """Return the largest IPC that fits into ``limit`` seconds; 0 if none does."""
        low, high = 0, 1
        while self.seconds(high, classes) <= limit and high < MAX_IPC:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.seconds(middle, classes) <= limit
            low, high = (middle, high) if fits else (low, middle)
        return low


@dataclass(frozen=True)
class TableRow:
    """The estimate for one IPC."""

    ipc: int
    sampled_per_class: int
    seconds: float
    fits: bool


def measure(plan: SamplingPlan) -> tuple[Cost, list[Trace]]:
    """Run short trials of the method, with its default batch size and with a smaller one.

    Raises:
        UserError: the method failed or yielded too few batches within the time limit.
    """
    endless = replace(plan, ipc=None)
    outcome, first = _trial(endless)
    traces = [first]
    can_shrink = first.batch is not None and first.batch >= 2 * BATCH_DIVISOR
    if can_shrink and "batch" in plan.options and plan.options["batch"] is None:
        smaller = {**plan.options, "batch": (first.batch or 0) // BATCH_DIVISOR}
        traces.append(_trial(replace(endless, options=smaller))[1])
    return fit(outcome, traces, plan.dataset.num_classes), traces


def fit(outcome: Outcome, traces: Sequence[Trace], classes: int) -> Cost:
    """Fit a cost model with non-negative coefficients.

    The times of batches come from ``traces``. The time of loading comes from ``outcome``.
    """
    import numpy as np
    from scipy.optimize import nnls

    rows = [
        (number + 1, count)
        for trace in traces
        for number, count in enumerate(np.cumsum(trace.sampled))
    ]
    times = [seconds for trace in traces for seconds in trace.seconds]
    (per_batch, per_image), _ = nnls(np.array(rows, float), np.array(times))
    prompts = outcome.report.prompts_encoded or 0
    prompts_seconds = outcome.report.prompts_seconds or 0.0
    return Cost(
        start=(outcome.load or 0.0) - prompts_seconds,
        prompts=prompts / classes,
        per_prompt=prompts_seconds / prompts if prompts else 0.0,
        per_batch=float(per_batch),
        per_image=float(per_image),
        copies=outcome.images / outcome.sampled,
        batch=traces[0].batch or max(traces[0].sampled),
    )


def table(cost: Cost, plan: SamplingPlan) -> list[TableRow]:
    """Return rows up to the largest IPC within the limit, including it and the plan's own IPC."""
    classes = plan.dataset.num_classes
    most = cost.max_ipc(plan.time_limit, classes)
    steps = {step * 10**power for power in range(9) for step in TABLE_STEPS}
    shown = {ipc for ipc in steps if ipc < max(most, 10)} | {most, plan.ipc or most}
    return [
        TableRow(
            ipc=ipc,
            sampled_per_class=math.ceil(ipc / cost.copies),
            seconds=round(cost.seconds(ipc, classes), 1),
            fits=ipc <= most,
        )
        for ipc in sorted(shown - {0})
    ]


def save(folder: Path, name: str, cost: Cost, traces: Sequence[Trace]) -> Path:
    """Write the numbers, and a plot of the measured and fitted times; return the plot's path.

    Raises:
        UserError: they can't be written.
    """
    import_matplotlib()
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    document = {"cost": asdict(cost), "traces": [asdict(trace) for trace in traces]}
    text = json.dumps(document, indent=1) + "\n"
    with _written(folder / f"{name}.json") as temporary:
        temporary.write_text(text, encoding="utf-8")
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for trace, marker in zip(traces, "os", strict=False):
        totals = list(itertools.accumulate(trace.sampled))
        fitted = [
            number * cost.per_batch + total * cost.per_image
            for number, total in enumerate(totals, 1)
        ]
        (line,) = axes.plot(totals, fitted, label=f"fitted, batch size {trace.batch}")
        axes.plot(
            totals,
            trace.seconds,
            marker,
            label=f"measured, batch size {trace.batch}",
            color=line.get_color(),
            alpha=0.4,
            markersize=4,
        )
    axes.set(xlabel="sampled images", ylabel="seconds", title=name)
    axes.legend()
    path = folder / f"{name}.svg"
    with _written(path) as temporary:
        figure.savefig(temporary, bbox_inches="tight")
    pyplot.close(figure)
    return path


@contextlib.contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` at the end of the block.

    Raises:
        UserError: it can't be written.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from None


def _trial(plan: SamplingPlan) -> tuple[Outcome, Trace]:
    """Run the method for at least `MIN_SECONDS` and `MIN_BATCHES`, or until the limit."""

    def on_batch(outcome: Outcome) -> None:
        steady = _steady(outcome)
        if len(steady) > MIN_BATCHES and steady[-1].seconds - steady[0].seconds > MIN_SECONDS:
            raise StopSampling

    name, limit = plan.method.name, plan.time_limit
    with tempfile.TemporaryDirectory() as folder:
        outcome = supervisor.supervise(
            jobs(plan), limit, Path(folder), on_batch, **protection(plan, Path(folder))
        )
    if outcome.is_failed:
        raise UserError(f"the trial of {name} failed: {outcome.message}")
    if outcome.batches and not outcome.sampled:
        raise UserError(f"{name} samples no images, so there is nothing to plan; leave out --plan")
    if not outcome.sampled or outcome.load is None:
        raise UserError(
            f"{name} sampled no images in {limit:g} s, so --plan has nothing to measure"
        )
    first, *steady = _steady(outcome)
    if not steady:
        raise UserError(
            f"{name} yielded too few batches of equal size in {limit:g} s; raise --time-limit"
        )
    seconds = [batch.seconds - first.seconds for batch in steady]
    return outcome, Trace(outcome.report.batch, seconds, [batch.sampled for batch in steady])


def _steady(outcome: Outcome) -> list[Batch]:
    """Return the last batches of equal size; on a GPU, a method first searches for the size."""
    size = outcome.batches[-1].sampled
    last = itertools.takewhile(lambda batch: batch.sampled == size, reversed(outcome.batches))
    return list(last)[::-1]
