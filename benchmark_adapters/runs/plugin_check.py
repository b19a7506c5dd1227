"""Does a method keep its contract? Short trials in real processes, as runs would make them, and what was wrong with them."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark_adapters.execution.supervisor import INTERRUPTED, Outcome, supervise
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs.collect import Damaged, assemble
from benchmark_adapters.runs.request import Plan
from benchmark_adapters.types import Dataset, DistilledSet, one_line

IPC = 3  # odd, so that sampled images with a copy each give one too many, and two parts have something to make
LONGER, MORE = (
    2,
    2.0,
)  # the trial that is cut may take so many times the first one's seconds, and so many seconds more
GRACE = 5.0  # seconds after the limit by which the process has to be gone
ALIKE = 1.0  # grey levels by which an image may differ on average where its batch was another
DIVIDE = "make those whose index in their class is task.part, task.part + task.parts, ..."
HEAVY = ("torch", "diffusers", "transformers", "jax", "tensorflow")
IMPORT = """
import importlib, sys, time
began = time.perf_counter()
importlib.import_module(sys.argv[1])
print(f"\\nimported: {time.perf_counter() - began:.2f}", *(name for name in sys.argv[2:] if name in sys.modules))
"""


@dataclass(frozen=True)
class Check:
    """What came of one check, and why.

    ``log``: what the method had printed, where a trial broke down.
    """

    name: str
    status: Literal["ok", "failed", "skipped"]
    text: str
    log: str = ""


class Failed(Exception):
    """A check found something; the message says what to do."""

    def __init__(self, text: str, log: str = "") -> None:
        super().__init__(text)
        self.log = log


class Skipped(Exception):
    """A check has nothing to look at."""


@dataclass(frozen=True)
class Trial:
    """How the method's processes, mostly one, ended after ``seconds``; the set that a run would keep, its images on disk."""

    outcomes: list[Outcome]
    made: DistilledSet
    seconds: float
    limit: float

    @property
    def outcome(self) -> Outcome:
        return self.outcomes[0]

    @property
    def is_cut(self) -> bool:
        return any(outcome.end == "limit" for outcome in self.outcomes)

    @property
    def when(self) -> str:
        return f"by the limit of {self.limit:g} s" if self.is_cut else "when it ended"

    @property
    def advice(self) -> str:
        return (
            "yield earlier, or give it more by --time-limit"
            if self.is_cut
            else f"go on until there are {IPC} of each class"
        )


class Bench:
    """The trials of a method, each made when it is first asked for, with all files in ``folder``."""

    def __init__(self, todo: Plan, folder: Path) -> None:
        self.todo, self.folder = todo, folder

    @cached_property
    def first(self) -> Trial:
        return self.trial(self.todo)

    @cached_property
    def limit(self) -> float:
        """Of the trial that is cut: no longer than it takes to see how the method ends."""
        return round(min(self.todo.time_limit, LONGER * (self.first.outcome.last or 0.0) + MORE), 1)

    @cached_property
    def endless(self) -> Trial:
        try:
            return self.trial(replace(self.todo, ipc=None, time_limit=self.limit))
        except Failed as error:
            raise Failed(f"with task.ipc None {error}", error.log) from None

    def trial(self, *parts: Plan) -> Trial:
        """Processes one after another, each for a part of one set, as in runs with --shard.

        Raises:
            Failed: the method broke down, or its rounds are not of the dataset.
        """
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        began = time.monotonic()
        outcomes = []
        for number, todo in enumerate(parts):
            place = folder / str(number)
            place.mkdir()
            outcomes.append(
                supervise(harness.jobs(todo), todo.time_limit, place, lambda outcome: None)
            )
            if outcomes[-1].message == INTERRUPTED:
                raise KeyboardInterrupt
            if outcomes[-1].end in ("invalid", "error"):
                raise Failed(outcomes[-1].message, (place / "log.txt").read_text(encoding="utf-8"))
            if outcomes[-1].end == "limit":  # so will the others
                break
        seconds = time.monotonic() - began
        rounds = [files for outcome in outcomes for files in outcome.parts]
        try:
            made = assemble(rounds, self.todo.dataset, parts[0].ipc, folder / "images.safetensors")
        except Damaged as error:
            raise Failed(harness.without_folders(str(error))) from None
        return Trial(outcomes, made, seconds, parts[0].time_limit)

    def whole(self, todo: Plan) -> DistilledSet:
        """As many images as were asked for, by another trial.

        Raises:
            Failed: there were fewer, or as for `trial`.
        """
        return _complete(self.trial(todo)).made


def check(todo: Plan) -> Iterator[Check]:
    """Every check of the method of ``todo``, one by one as it is done; a check that another one needs is no use without it."""
    failed = set()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(todo, Path(folder))
        for name, (judge, needs) in CHECKS.items():
            try:
                if needs in failed:
                    raise Skipped(f"for want of: {needs}")
                found = Check(name, "ok", judge(bench))
            except Skipped as reason:
                found = Check(name, "skipped", str(reason))
            except Failed as error:
                found = Check(name, "failed", one_line(error), error.log)
            if found.status != "ok":
                failed.add(name)
            yield found


def _plugin(bench: Bench) -> str:
    """The module, which every command imports, is imported quickly."""
    distill: Any = bench.todo.method.distill
    module = (distill.func if isinstance(distill, partial) else distill).__module__
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT, module, *HEAVY],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise Failed(
            f"{module} can't be imported by itself: {(done.stderr.splitlines() or ['no reason given'])[-1]}",
            done.stderr,
        )
    said = [
        text for text in done.stdout.splitlines() if text.startswith("imported: ")
    ]  # whatever the module itself prints
    if not said:
        raise Failed(f"{module} ends the process that imports it")
    _, seconds, *heavy = said[-1].split()
    if heavy:
        raise Failed(
            f"{module} imports {' and '.join(heavy)} at its top, {seconds} s for every command: import inside of distill"
        )
    return f"{module} is imported in {seconds} s, without torch"


def _rounds(bench: Bench) -> str:
    """Types, shapes and labels; the method's process itself checks them as in any run."""
    trial, data = bench.first, bench.todo.dataset
    if not trial.outcome.rounds:
        raise Failed(f"no round {trial.when}: {trial.advice}")
    return f"{len(trial.outcome.rounds)} with images uint8 [n, {data.channels}, {data.image_size}, {data.image_size}] and labels 0 to {data.num_classes - 1}"


def _count(bench: Bench) -> str:
    return f"{_complete(bench.first).made.ipc} images per class, as asked for, {bench.first.outcome.last:.1f} s after the start"


def _complete(trial: Trial) -> Trial:
    if trial.made.ipc < IPC:
        raise Failed(f"{trial.made.ipc} of {IPC} images per class {trial.when}: {trial.advice}")
    return trial


def _same_seed(bench: Bench) -> str:
    if bench.whole(bench.todo).sha256 != bench.first.made.sha256:
        raise Failed(
            f"seed {bench.todo.seed} gives other images the second time: take all randomness from task.seed, and decide nothing by the clock"
        )
    return f"seed {bench.todo.seed} gives the same images twice"


def _other_seed(bench: Bench) -> str:
    seed = bench.todo.seed + 1
    if bench.whole(replace(bench.todo, seed=seed)).sha256 == bench.first.made.sha256:
        raise Failed(
            f"seeds {bench.todo.seed} and {seed} give the same images: draw from task.seed, as np.random.default_rng(task.seed) does"
        )
    return f"seed {seed} gives other images than seed {bench.todo.seed}"


def _parts(bench: Bench) -> str:
    if not bench.todo.method.divisible:
        raise Skipped("the method is not divisible")
    parts = bench.trial(*(replace(bench.todo, shard=(number, 2)) for number in range(2)))
    if parts.is_cut:
        raise Failed(
            "a part of two did not end by itself: return once its share of task.ipc is whole"
        )
    one, two = bench.first.made, parts.made
    if one.ipc != two.ipc:
        raise Failed(
            f"two parts make {two.ipc} images per class together, one process {one.ipc}: {DIVIDE}"
        )
    apart = max(
        float(np.abs(mine.astype(float) - other).mean())
        for mine, other in zip(one.images, two.images, strict=True)
    )
    if apart > ALIKE:
        raise Failed(
            f"two parts make other images than one process: {DIVIDE}, and let an image depend on the seed, its class and its index alone"
        )
    return "two parts make the same images as one process" + (" but for rounding" if apart else "")


def _cut(bench: Bench) -> str:
    """What was there when time was up is a set."""
    trial, ipc = bench.endless, bench.endless.made.ipc
    if not ipc:
        raise Failed(
            f"with task.ipc None no image of every class {trial.when}: yield earlier, the classes in turns"
        )
    return f"with task.ipc None {ipc:,} images per class {trial.when}, in rounds: {len(trial.outcome.rounds):,}"


def _limit(bench: Bench) -> str:
    trial = bench.endless
    if trial.seconds > trial.limit + GRACE:
        raise Failed(
            f"its processes were gone only {trial.seconds - trial.limit:.1f} s after the limit of {trial.limit:g} s"
        )
    if trial.is_cut:
        return f"ended by the harness at {trial.limit:g} s; the last round that counts was there after {trial.outcome.last:.1f} s"
    return f"ended by itself after {trial.seconds:.1f} of {trial.limit:g} s"


def _balance(bench: Bench) -> str:
    """No class gets ahead of another by more than a sampled image and its copies, so that a cut costs no more than that."""
    for trial in (bench.first, bench.endless):
        outcome = trial.outcome
        turn = math.ceil(outcome.images / outcome.sampled) if outcome.sampled else 1
        counts = np.cumsum([_labels(file, bench.todo.dataset) for file in outcome.parts[0]], 0)
        apart = counts.max(1) - counts.min(1)
        if apart.max() > turn:
            number, ahead, behind = (
                int(apart.argmax()),
                int(counts[apart.argmax()].argmax()),
                int(counts[apart.argmax()].argmin()),
            )
            raise Failed(
                f"after round {number + 1} class {ahead} has {counts[number, ahead]} images and class {behind} {counts[number, behind]}, "
                "of which a cut keeps the fewer: yield the classes in turns"
            )
    return "the classes take turns, so that a cut costs none of them more than the others"


def _real(bench: Bench) -> str:
    """No verdict: what records will say."""
    return (
        "used, by task.training_images()" if bench.first.outcome.used_real_data else "not asked for"
    )


def _labels(file: Path, dataset: Dataset) -> Any:
    """How many images of each class a round has."""
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        return np.bincount(tensors.get_tensor("labels"), minlength=dataset.num_classes)


CHECKS: dict[
    str, tuple[Callable[[Bench], str], str]
] = {  # by name: the check, and the one that it needs
    "plug-in": (_plugin, ""),
    "rounds": (_rounds, ""),
    "count": (_count, "rounds"),
    "same seed": (_same_seed, "count"),
    "other seed": (_other_seed, "count"),
    "parts": (_parts, "count"),
    "cut": (_cut, "rounds"),
    "limit": (_limit, "cut"),
    "balance": (_balance, "cut"),
    "real images": (_real, "rounds"),
}
