"""A run: from its plan to the folder with its record."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters import datasets
from benchmark_adapters import environment as provenance
from benchmark_adapters.execution import devices
from benchmark_adapters.execution.process_tree import undisturbed
from benchmark_adapters.execution.supervisor import INTERRUPTED, Job, Outcome, supervise
from benchmark_adapters.formats import native
from benchmark_adapters.runs import progress
from benchmark_adapters.runs.request import Plan
from benchmark_adapters.scoring.seed_cache import Score, SeedCache, SeedResult
from benchmark_adapters.types import DistilledSet, UserError, one_line
from leaderboard.analysis import stats
from leaderboard.records import store
from leaderboard.records.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark_adapters.types import Array

Results = dict[str, list[SeedResult]]  # by student; of each seed that is finished


def run(todo: Plan) -> Path:
    """Makes the distilled set, scores it, writes the record; returns the folder of the run.

    Raises:
        UserError: the real data is missing or damaged, or the runs folder can't be written.
    """
    return complete(todo, lambda folder: sampled(todo, folder))


def complete(todo: Plan, make: Callable[[Path], Outcome]) -> Path:
    """A run whose rounds ``make`` puts into the folder that it is given; raises as `run`."""
    test = datasets.load(todo.dataset, "test", todo.data, todo.track.bundled_data)
    kept = SeedCache(todo.runs / ".unfinished")
    try:
        with store.new_run(
            todo.runs, todo.track.name, todo.dataset.name, folder_name(todo.method.name)
        ) as folder:
            record = _finished(todo, folder, make(folder), test, kept)
            with undisturbed():
                (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
        if record.status in ("ok", "timeout"):
            kept.forget()
    except OSError as error:
        raise UserError(
            f"the runs folder {todo.runs} can't be written ({error.strerror or error}); choose another with --runs"
        ) from None
    return store.final(folder)


def sampled(todo: Plan, folder: Path) -> Outcome:
    title = f"{todo.track.name} / {todo.dataset.name} / {todo.method.name}"
    with progress.sampling(title, todo.ipc, todo.time_limit) as on_round:
        return supervise(
            jobs(todo),
            todo.time_limit,
            folder,
            lambda outcome: on_round(outcome.ipc * todo.processes),
        )


def _finished(
    todo: Plan, folder: Path, outcome: Outcome, test: tuple[Array, Array], kept: SeedCache
) -> Record:
    """The set and its score, from the rounds of ``outcome``; the images, and the score of each finished seed, are kept whatever happens."""
    record: Record | None = None
    results: Results = {student.name: [] for student in todo.students}
    try:
        with undisturbed():
            distilled = _assemble(outcome, todo, folder / "images.safetensors")
            shutil.rmtree(folder / "rounds", ignore_errors=True)
            record = _record(todo, folder, outcome, distilled, test)
            if distilled.ipc:
                _save(distilled, record, folder)
            else:
                (folder / "images.safetensors").unlink()
        if _is_scored(record, todo):
            _score(todo, distilled, test, kept, results)
    except (Exception, KeyboardInterrupt) as error:
        if record is None:
            raise
        if _is_scored(record, todo):
            record = _unscored(record, error, sum(map(len, results.values())))
    return _with_scores(record, todo, results)


def jobs(todo: Plan) -> list[Job]:
    """What each process has to know. Process r of shard I of N makes part r * N + I, so that shards take turns as processes do."""
    shard, shards = todo.shard
    return [
        Job(
            {**_facts(todo), "part": rank * shards + shard, "parts": shards * todo.processes},
            environment,
        )
        for rank, environment in enumerate(devices.environments(todo.device, todo.processes))
    ]


def _facts(todo: Plan) -> dict[str, Any]:
    return {
        "method": todo.method.name,
        "track": todo.track.name,
        "dataset": todo.dataset.name,
        "seed": todo.seed,
        "device": todo.device,
        "ipc": todo.ipc,
        "options": dict(todo.options),
        "data": str(todo.data.absolute()) if todo.data else None,
        "bundled": todo.track.bundled_data,
        "real_data": todo.track.real_data,
    }


def _assemble(outcome: Outcome, todo: Plan, path: Path) -> DistilledSet:
    """The rounds that were complete in time, trimmed to class balance; possibly empty."""
    if outcome.distilled:
        return outcome.distilled
    from benchmark_adapters.runs.collect import Damaged, assemble

    try:
        return assemble(outcome.parts, todo.dataset, todo.ipc, path)
    except Damaged as error:
        outcome.end, outcome.message = "error", str(error)
        return assemble([[]], todo.dataset, todo.ipc, path)


def _verdict(
    outcome: Outcome, ipc: int, asked: int | None, is_shard: bool = False
) -> tuple[str, str]:
    """Status and message."""
    if outcome.end in ("invalid", "error"):
        return outcome.end, outcome.message
    if (is_shard and outcome.end == "done") or (
        ipc and (asked is None or ipc >= asked)
    ):  # a shard may have nothing to make
        return "ok", "; ".join(outcome.lost)
    wanted = "images of every class" if asked is None else f"{asked} images per class"
    if outcome.end == "limit":
        return (
            "timeout",
            f"{ipc} of {wanted} by the limit"
            if ipc
            else f"{outcome.message} before one round of {wanted} was complete",
        )
    return (
        "invalid",
        f"the method ended after {ipc} of {wanted}"
        if ipc
        else f"the method ended without {wanted}",
    )


def _record(
    todo: Plan, folder: Path, outcome: Outcome, distilled: DistilledSet, test: tuple[Array, Array]
) -> Record:
    """The record as it stands after sampling."""
    status, message = _verdict(outcome, distilled.ipc, todo.ipc, todo.shard[1] > 1)
    facts: dict[str, Any] = {key: _told(fact) for key, fact in outcome.facts.items()}
    commit, dirty = provenance.commit()
    reasons = _deviations(todo, status, distilled.ipc, len(test[0]))
    return Record(
        run_id=store.run_id(folder),
        status=status,
        message=one_line(without_folders(message), 5000),
        track=todo.track.name,
        dataset=todo.dataset.name,
        method=todo.method.name,
        options={key: _name(value) for key, value in todo.options.items()},
        given=[
            f"{key}={_name(value)}" for key, value in (text.split("=", 1) for text in todo.given)
        ],
        seed=todo.seed,
        recipe=todo.recipe.name,
        recipe_sha256=todo.recipe.sha256,
        student=todo.students[0].name,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        ipc=distilled.ipc,
        ipc_asked=todo.ipc,
        repeats=todo.repeats,
        processes=todo.processes,
        shard=f"{todo.shard[0]}/{todo.shard[1]}" if todo.shard[1] > 1 else None,
        division=f"IPC {distilled.ipc}" if len(todo.track.ipc) > 1 else "",
        generated_per_class=distilled.generated_per_class,
        seconds={
            "load": outcome.load,
            "generate": outcome.generate,
            "evaluate": None,
            "limit": todo.time_limit,
        },
        sampled=outcome.sampled,
        images_per_second=outcome.sampled / outcome.generate
        if outcome.sampled and outcome.generate
        else None,
        model=facts.pop("model", None),
        model_sha256=facts.pop("model_sha256", None),
        model_trained_on=facts.pop("model_trained_on", None),
        batch=facts.pop("batch", None),
        threads=facts.pop("threads", None),
        device=facts.pop("device", None),
        hardware=provenance.hardware()
        | {key: facts.pop(key) for key in ("gpu", "gpus") if key in facts},
        facts=facts,
        images_sha256=distilled.sha256 if distilled.ipc else None,
        limit_enforced=todo.limit_enforced,
        data_sha256=datasets.digest(*test),
        uses_real_data=outcome.used_real_data,
        comparable=not reasons,
        not_comparable_because=reasons,
        versions=provenance.versions(),
        commit=commit,
        dirty=dirty,
    )


def _deviations(todo: Plan, status: str, ipc: int, tested: int) -> list[str]:
    """In what the run differs from its track."""
    track = todo.track
    if todo.shard[1] > 1:
        return [f"shard {todo.shard[0]} of {todo.shard[1]}"]
    checks = {
        f"status {status}": status != "ok",
        f"limit {todo.time_limit:g} s instead of {track.time_limit:g} s": todo.time_limit
        != track.time_limit,
        f"IPC {ipc} instead of {' or '.join(map(str, track.ipc))}": bool(track.ipc)
        and ipc not in track.ipc,
        f"joined from {todo.joined} shards, each with a clock of its own": todo.joined > 1,
        f"{todo.repeats} repeats instead of {track.repeats}": todo.repeats < track.repeats,
        f"recipe {todo.recipe.name} instead of {track.recipe}": todo.recipe.name != track.recipe,
        f"student {todo.students[0].name}": todo.students[0].name != todo.recipe.student,
        f"{tested} test images instead of {todo.dataset.test_size}": tested
        != todo.dataset.test_size,
    }
    return list(
        dict.fromkeys([*todo.inherited, *(reason for reason, holds in checks.items() if holds)])
    )


def _save(distilled: DistilledSet, record: Record, folder: Path) -> None:
    """What lies beside the images."""
    from benchmark_adapters.runs.preview import draw

    manifest = {
        **native.describe(record.dataset, distilled),
        "method": record.method,
        "options": record.options,
        "model": record.model,
        "seed": record.seed,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    draw(distilled).save(folder / "grid.png")


def _is_scored(record: Record, todo: Plan) -> bool:
    return record.ipc > 0 and record.status in ("ok", "timeout") and todo.repeats > 0


def _score(
    todo: Plan,
    distilled: DistilledSet,
    test: tuple[Array, Array],
    kept: SeedCache,
    results: Results,
) -> None:
    """Adds the result of each seed to those of its student."""
    from benchmark_adapters.scoring.evaluate import score  # imports torch

    device = devices.resolve(todo.device)
    for student in todo.students:
        with progress.scoring(student.name, todo.recipe, todo.repeats) as report:
            for result in score(
                distilled,
                test,
                todo.dataset,
                todo.recipe,
                student,
                todo.seeds,
                device,
                report,
                kept,
            ):
                results[student.name].append(result)


def _with_scores(record: Record, todo: Plan, results: Results) -> Record:
    """The record with accuracies: those of the first student, and beside them those of the others."""
    first, *others = results.values()
    if not first:
        return record
    import torch  # as the scoring did

    score, device = Score.of(first), devices.resolve(todo.device)
    mean, spread, interval = stats.summary(score.accuracies)
    return replace(
        record,
        seeds=todo.seeds[: len(first)],
        accuracies=score.accuracies,
        accuracy_mean=mean,
        accuracy_std=spread,
        accuracy_ci95=interval,
        confusion=score.confusion,
        cross={
            student.name: Score.of(found).accuracies
            for student, found in zip(todo.students[1:], others, strict=True)
        },
        seconds={
            **record.seconds,
            "evaluate": sum(result.seconds for found in results.values() for result in found),
        },
        device=record.device or device,
        facts={
            **record.facts,
            "scored_on": {"device": device, "threads": torch.get_num_threads()},
        },  # the set may come from elsewhere
    )


def _unscored(record: Record, error: BaseException, done: int) -> Record:
    """Whatever stopped the scoring: the images and finished seeds stay, and the record says what it was."""
    problem = (
        str(error) or INTERRUPTED
        if isinstance(error, KeyboardInterrupt)
        else without_folders(one_line(f"{type(error).__name__}: {error}"))
    )
    message = (
        f"scoring failed{f' after {done} seeds' if done else ''}, the images are kept: {problem}"
    )
    return replace(
        record,
        status="error",
        message=message,
        comparable=False,
        not_comparable_because=["status error"],
    )


def facts_of(record: Record) -> dict[str, Any]:
    """What the process that made a run's images had reported."""
    names = ("model", "model_sha256", "model_trained_on", "batch", "threads", "device")
    reported = {name: fact for name, fact in record.facts.items() if name != "scored_on"}
    return {**reported, **{name: getattr(record, name) for name in names}}


def folder_name(name: str) -> str:
    """A team's name, which may hold anything, as that of a folder."""
    short = (
        re.sub(r"[^\w.-]+", "-", name)
        .strip(".-")
        .encode("utf-8", "ignore")[:100]
        .decode("utf-8", "ignore")
    )
    return short or "unnamed"


def _told(fact: Any) -> Any:
    """A fact for the record: without folders, whatever it holds."""
    if isinstance(fact, dict):
        return {key: _told(value) for key, value in fact.items()}
    if isinstance(fact, list | tuple):
        return [_told(value) for value in fact]
    return without_folders(fact) if isinstance(fact, str) else fact


def without_folders(text: str) -> str:
    """``text`` with each path outside of the working directory cut to its last name: a record tells nothing about a machine's folders."""
    return re.sub(
        r"(?<![\w:/])(?:file:)?(?:~\w*|\.\.?)?/+(?:[^\s/,;'\"]+/)*(?=[^\s/])",
        "",
        text.replace(f"{Path.cwd()}/", ""),
    )


def _name(value: Any) -> Any:
    """An option's value for the record: of a path its last name, everything else as it is."""
    return Path(value).name if isinstance(value, str) and re.match(r"~|\.{0,2}/", value) else value
