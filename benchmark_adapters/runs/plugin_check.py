"""Check in short trials that a method keeps its contract."""

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
from benchmark_adapters.runs.trials import Trial, TrialFailed, TrialRefused, TrialRunner
from benchmark_adapters.types import Dataset, one_line
from leaderboard.text import plural

# Seconds after the time limit by which the processes must be gone.
GRACE = 5.0
# Largest mean difference, in grey levels, between the same image from different batches.
MAX_DIFFERENCE = 1.0
DIVIDE = (
    "generate the images whose index within their class is task.part, task.part + task.parts, ..."
)
HEAVY = ("torch", "diffusers", "transformers", "jax", "tensorflow")
# Import a module, then write to a file the seconds it took and which heavy modules it imported.
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
        text: the reason for the status.
        log: the method's output, if a trial failed.
    """

    name: str
    status: Literal["ok", "failed", "skipped"]
    text: str
    log: str = ""


class Skipped(Exception):
    """Raised if a check does not apply."""


def check(plan: SamplingPlan) -> Iterator[Check]:
    """Yield the result of each check of a method as soon as it is known.

    A check is skipped if another check that it depends on did not pass.
    """
    without_pass = set()
    with tempfile.TemporaryDirectory() as folder:
        trials = TrialRunner(plan, Path(folder))
        for name, (examine, needed) in CHECKS.items():
            try:
                if needed in without_pass:
                    raise Skipped(f"depends on a check that did not pass: {needed}")
                result = Check(name, "ok", examine(trials))
            except Skipped as reason:
                result = Check(name, "skipped", str(reason))
            except TrialFailed as error:
                result = Check(name, "failed", one_line(error), error.log)
            if result.status != "ok":
                without_pass.add(name)
            yield result


def _import(trials: TrialRunner) -> str:
    """Check that the method's module imports quickly, since most commands wait for that."""
    if trials.plan.method.file:
        raise Skipped("only commands that name the file import it")
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
        raise TrialFailed(f"could not import {module} on its own: {reason}", done.stderr)
    if not output.is_file():
        raise TrialFailed(f"{module} exits the process that imports it")
    seconds, heavy = json.loads(output.read_text())
    if heavy:
        raise TrialFailed(
            f"{module} imports {' and '.join(heavy)} at module level, which slows down every "
            f"command by {seconds:.2f} s: import inside distill"
        )
    return f"{module} imports in {seconds:.2f} s, without torch"


def _module(distill: Any) -> str:
    """Return the name of the module that is imported for a method."""
    if isinstance(distill, str):
        return distill.partition(":")[0]
    function = distill.func if isinstance(distill, partial) else distill
    return str(function.__module__)


def _batches(trials: TrialRunner) -> str:
    """Check that there are batches; the method's process checks their types, shapes and labels."""
    trial, data = trials.first, trials.plan.dataset
    if not trial.outcome.batches:
        raise TrialFailed(f"no batch {trial.when}: {trial.advice}")
    shape = f"[n, {data.channels}, {data.image_size}, {data.image_size}]"
    count = len(trial.outcome.batches)
    return f"{count} with uint8 images {shape} and labels 0 to {data.num_classes - 1}"


def _count(trials: TrialRunner) -> str:
    trial = trials.first.complete()
    seconds = f"{trial.outcome.last:.1f} s after the start"
    return f"{trial.distilled.ipc} images per class, as requested, {seconds}"


def _same_seed(trials: TrialRunner) -> str:
    seed = trials.plan.seed
    if trials.whole(trials.plan).sha256 != trials.first.distilled.sha256:
        raise TrialFailed(
            f"seed {seed} produces different images the second time: take all randomness from "
            "task.seed, and make no decision based on the clock"
        )
    return f"seed {seed} produces the same images twice"


def _other_seed(trials: TrialRunner) -> str:
    seed, other = trials.plan.seed, trials.plan.seed + 1
    if trials.whole(replace(trials.plan, seed=other)).sha256 == trials.first.distilled.sha256:
        raise TrialFailed(
            f"seeds {seed} and {other} produce the same images: use task.seed, "
            "for example with np.random.default_rng(task.seed)"
        )
    return f"seed {other} produces different images from seed {seed}"


def _parts(trials: TrialRunner) -> str:
    if not trials.plan.method.divisible:
        raise Skipped("the method is not divisible")
    try:
        parts = trials.run(*(replace(trials.plan, shard=(number, 2)) for number in range(2)))
    except TrialRefused as error:
        raise Skipped(f"the method refuses to make parts of this set: {error}") from None
    if parts.is_cut:
        raise TrialFailed(
            "one of two parts did not stop by itself: return once its share of task.ipc is complete"
        )
    one, two = trials.first.distilled, parts.distilled
    if one.ipc != two.ipc:
        raise TrialFailed(
            f"two parts generate {two.ipc} {plural(two.ipc, 'image')} per class, but one process "
            f"generates {one.ipc}: {DIVIDE}"
        )
    differences = (
        float(np.abs(first.astype(float) - second).mean())
        for first, second in zip(one.images, two.images, strict=True)
    )
    largest = max(differences)
    if largest > MAX_DIFFERENCE:
        raise TrialFailed(
            f"two parts generate different images from one process: {DIVIDE}, and make each image "
            "depend only on the seed, its class and its index"
        )
    rounding = " except for rounding" if largest else ""
    return f"two parts generate the same images as one process{rounding}"


def _cut(trials: TrialRunner) -> str:
    """Check that the batches yielded within the time limit form a set."""
    trial, ipc = trials.endless, trials.endless.distilled.ipc
    if not ipc:
        raise TrialFailed(
            f"with task.ipc=None, some classes had no image {trial.when}: "
            "yield earlier, and alternate between the classes"
        )
    count = len(trial.outcome.batches)
    images = f"{ipc:,} {plural(ipc, 'image')} per class"
    return f"with task.ipc=None, {images} {trial.when} (batches: {count:,})"


def _limit(trials: TrialRunner) -> str:
    trial = trials.endless
    late = trial.seconds - trial.limit
    if late > GRACE:
        raise TrialFailed(
            f"its processes only ended {late:.1f} s after the time limit of {trial.limit:g} s"
        )
    if trial.is_cut:
        return (
            f"killed by the harness at {trial.limit:g} s; the last batch that counts arrived "
            f"after {trial.outcome.last:.1f} s"
        )
    return f"stopped by itself after {trial.seconds:.1f} of {trial.limit:g} s"


def _balance(trials: TrialRunner) -> str:
    """Check that no class gets ahead of another by more than one sampled image and its copies.

    Stopping at the limit then costs no class more than that.
    """
    for trial in (trials.first, trials.endless):
        _check_balance(trial, trials.plan.dataset)
    return "the classes take turns, so stopping early costs no class more than the others"


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
            f"after batch {number + 1}, class {ahead} has {most} {plural(most, 'image')} and "
            f"class {behind} has {counts[number, behind]}, and a run stopped there would keep only "
            "the smaller number of each class: alternate between the classes"
        )


def _real_images(trials: TrialRunner) -> str:
    """Return whether records will say that real images were used; this check can't fail."""
    is_used = trials.first.outcome.used_real_data
    return "used, through task.training_images()" if is_used else "not used"


def _class_counts(file: Path, dataset: Dataset) -> Any:
    """Return the number of images of each class in a batch file."""
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        return np.bincount(tensors.get_tensor("labels"), minlength=dataset.num_classes)


# Each check by name, with the name of the check that it depends on.
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
