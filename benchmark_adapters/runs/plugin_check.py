"""Check that a method keeps its contract, in short trials."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark_adapters.runs.request import SamplingPlan
from benchmark_adapters.runs.trials import Trial, TrialFailed, TrialRunner
from benchmark_adapters.types import Dataset, one_line
from leaderboard.text import plural

# Seconds after the limit by which the process has to be gone.
GRACE = 5.0
# Grey levels by which an image may differ on average if its batch was another.
MAX_DIFFERENCE = 1.0
DIVIDE = "make those whose index in their class is task.part, task.part + task.parts, ..."
HEAVY = ("torch", "diffusers", "transformers", "jax", "tensorflow")
# Imports a module and writes the seconds, and which heavy modules came with it, to a file.
IMPORT = """
import importlib, json, sys, time
module, output, *heavy = sys.argv[1:]
began = time.perf_counter()
importlib.import_module(module)
seconds = time.perf_counter() - began
with open(output, "w") as file:
    json.dump([seconds, [name for name in heavy if name in sys.modules]], file)
"""


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        text: why it has this status.
        log: what the method had printed, if a trial broke down.
    """

    name: str
    status: Literal["ok", "failed", "skipped"]
    text: str
    log: str = ""


class Skipped(Exception):
    """A check has nothing to look at."""


def check(plan: SamplingPlan) -> Iterator[Check]:
    """Yield the result of every check of a method as soon as it is known.

    A check is skipped if one that it needs did not pass.
    """
    without_pass = set()
    with tempfile.TemporaryDirectory() as folder:
        trials = TrialRunner(plan, Path(folder))
        for name, (examine, needed) in CHECKS.items():
            try:
                if needed in without_pass:
                    raise Skipped(f"it needs: {needed}")
                result = Check(name, "ok", examine(trials))
            except Skipped as reason:
                result = Check(name, "skipped", str(reason))
            except TrialFailed as error:
                result = Check(name, "failed", one_line(error), error.log)
            if result.status != "ok":
                without_pass.add(name)
            yield result


def _import(trials: TrialRunner) -> str:
    """Check that the module, which every command imports, is imported quickly."""
    module = _module(trials.plan.method.distill)
    output = trials.folder / "import.json"
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT, module, str(output), *HEAVY],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        reason = (done.stderr.splitlines() or ["no reason given"])[-1]
        raise TrialFailed(f"{module} can't be imported by itself: {reason}", done.stderr)
    if not output.is_file():
        raise TrialFailed(f"{module} ends the process that imports it")
    seconds, heavy = json.loads(output.read_text())
    if heavy:
        raise TrialFailed(
            f"{module} imports {' and '.join(heavy)} at its top, {seconds:.2f} s for every "
            "command: import inside of distill"
        )
    return f"{module} is imported in {seconds:.2f} s, without torch"


def _module(distill: Any) -> str:
    """Return the name of the module that every command imports for a method."""
    if isinstance(distill, str):
        return distill.partition(":")[0]
    function = distill.func if isinstance(distill, partial) else distill
    return str(function.__module__)


def _batches(trials: TrialRunner) -> str:
    """Types, shapes and labels; the method's process itself checks them as in any run."""
    trial, data = trials.first, trials.plan.dataset
    if not trial.outcome.batches:
        raise TrialFailed(f"no batch {trial.when}: {trial.advice}")
    shape = f"[n, {data.channels}, {data.image_size}, {data.image_size}]"
    count = len(trial.outcome.batches)
    return f"{count} with images uint8 {shape} and labels 0 to {data.num_classes - 1}"


def _count(trials: TrialRunner) -> str:
    trial = trials.first.complete()
    seconds = f"{trial.outcome.last:.1f} s after the start"
    return f"{trial.distilled.ipc} images per class, as asked for, {seconds}"


def _same_seed(trials: TrialRunner) -> str:
    seed = trials.plan.seed
    if trials.whole(trials.plan).sha256 != trials.first.distilled.sha256:
        raise TrialFailed(
            f"seed {seed} gives other images the second time: take all randomness from "
            "task.seed, and decide nothing by the clock"
        )
    return f"seed {seed} gives the same images twice"


def _other_seed(trials: TrialRunner) -> str:
    seed, other = trials.plan.seed, trials.plan.seed + 1
    if trials.whole(replace(trials.plan, seed=other)).sha256 == trials.first.distilled.sha256:
        raise TrialFailed(
            f"seeds {seed} and {other} give the same images: draw from task.seed, "
            "as np.random.default_rng(task.seed) does"
        )
    return f"seed {other} gives other images than seed {seed}"


def _parts(trials: TrialRunner) -> str:
    if not trials.plan.method.divisible:
        raise Skipped("the method is not divisible")
    parts = trials.run(*(replace(trials.plan, shard=(number, 2)) for number in range(2)))
    if parts.is_cut:
        raise TrialFailed(
            "a part of two did not end by itself: return once its share of task.ipc is whole"
        )
    one, two = trials.first.distilled, parts.distilled
    if one.ipc != two.ipc:
        raise TrialFailed(
            f"two parts make {two.ipc} {plural(two.ipc, 'image')} per class together, "
            f"one process {one.ipc}: {DIVIDE}"
        )
    differences = (
        float(np.abs(first.astype(float) - second).mean())
        for first, second in zip(one.images, two.images, strict=True)
    )
    largest = max(differences)
    if largest > MAX_DIFFERENCE:
        raise TrialFailed(
            f"two parts make other images than one process: {DIVIDE}, and let an image depend on "
            "the seed, its class and its index alone"
        )
    rounding = " but for rounding" if largest else ""
    return f"two parts make the same images as one process{rounding}"


def _cut(trials: TrialRunner) -> str:
    """Check that what is there when the time is up is a set."""
    trial, ipc = trials.endless, trials.endless.distilled.ipc
    if not ipc:
        raise TrialFailed(
            f"with task.ipc None no image of every class {trial.when}: "
            "yield earlier, the classes in turns"
        )
    count = len(trial.outcome.batches)
    images = f"{ipc:,} {plural(ipc, 'image')} per class"
    return f"with task.ipc None {images} {trial.when}, in batches: {count:,}"


def _limit(trials: TrialRunner) -> str:
    trial = trials.endless
    late = trial.seconds - trial.limit
    if late > GRACE:
        raise TrialFailed(
            f"its processes were gone only {late:.1f} s after the limit of {trial.limit:g} s"
        )
    if trial.is_cut:
        return (
            f"ended by the harness at {trial.limit:g} s; the last batch that counts was there "
            f"after {trial.outcome.last:.1f} s"
        )
    return f"ended by itself after {trial.seconds:.1f} of {trial.limit:g} s"


def _balance(trials: TrialRunner) -> str:
    """Check that no class gets ahead of another by more than a sampled image and its copies.

    A cut then costs no class more than that.
    """
    for trial in (trials.first, trials.endless):
        _check_balance(trial, trials.plan.dataset)
    return "the classes take turns, so that a cut costs none of them more than the others"


def _check_balance(trial: Trial, dataset: Dataset) -> None:
    outcome = trial.outcome
    allowed = math.ceil(outcome.images / outcome.sampled) if outcome.sampled else 1
    counts = np.cumsum([_class_counts(file, dataset) for file in outcome.files[0]], 0)
    lead = counts.max(1) - counts.min(1)
    if lead.max() > allowed:
        number = int(lead.argmax())
        ahead, behind = int(counts[number].argmax()), int(counts[number].argmin())
        most = counts[number, ahead]
        raise TrialFailed(
            f"after batch {number + 1} class {ahead} has {most} {plural(most, 'image')} and "
            f"class {behind} {counts[number, behind]}, of which a cut keeps the fewer: "
            "yield the classes in turns"
        )


def _real_images(trials: TrialRunner) -> str:
    """No verdict: what records will say."""
    is_used = trials.first.outcome.used_real_data
    return "used, by task.training_images()" if is_used else "not asked for"


def _class_counts(file: Path, dataset: Dataset) -> Any:
    """Return how many images of each class a batch has."""
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        return np.bincount(tensors.get_tensor("labels"), minlength=dataset.num_classes)


# By name: the check, and the one that it needs.
CHECKS: dict[str, tuple[Callable[[TrialRunner], str], str]] = {
    "plugin": (_import, ""),
    "batches": (_batches, ""),
    "count": (_count, "batches"),
    "same seed": (_same_seed, "count"),
    "other seed": (_other_seed, "count"),
    "parts": (_parts, "count"),
    "cut": (_cut, "batches"),
    "limit": (_limit, "cut"),
    "balance": (_balance, "cut"),
    "real images": (_real_images, "batches"),
}
