"""Run methods, and check and score sets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark_adapters import listening, own_data, track_files
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.types import UserError
from ddbench.errors import RunFailed
from leaderboard.records import store
from leaderboard.records.record import Record

if TYPE_CHECKING:
    from benchmark_adapters.plugins import Plugins
    from benchmark_adapters.runs.inbox import Submission
    from benchmark_adapters.runs.request import Request
    from benchmark_adapters.runs.submissions import CheckResult

Progress = Callable[[str, int, int | None], None]
PathText = str | PathLike[str]
Device = Literal["auto", "cpu", "cuda", "mps"]
Isolate = Literal["auto", "on", "off"]
MAX_CHECK_SECONDS, MAX_SCORE_SECONDS = 3_600.0, 86_400.0


def silent(phase: str, done: int, total: int | None) -> None:
    """Ignore the progress."""


def run(
    method: PathText = "generative-turbo",
    track: PathText = "quickstart",
    dataset: PathText | None = None,
    *,
    ipc: int | Literal["max"] | None = None,
    seed: int = 0,
    time_limit: float | None = None,
    repeats: int | None = None,
    students: Sequence[str] | str = (),
    device: Device = "auto",
    backend: Backend = "auto",
    options: Mapping[str, Any] | None = None,
    processes: int = 1,
    data: PathText | None = None,
    runs: PathText = "runs",
    image_size: int | None = None,
    test_split: str | float | None = None,
    isolate: Isolate = "auto",
    memory_limit: float | None = None,
    progress: Progress = silent,
) -> Record:
    """Generate a distilled set under a time limit, score it, and return the record.

    `ddbench.load` returns the images. None stands for the track's value.

    Args:
        method: name of a method, or a file ``FILE.py`` or ``FILE.py:NAME``.
        track: name of a track, or a file ``FILE.toml``.
        dataset: a name; or a folder: a path with a slash, ``imagefolder:DIR`` or ``hf:DIR``.
        ipc: images per class; ``max``: as many as the time limit allows.
        seed: random seed for sampling; evaluation uses seed, seed + 1, ...
        time_limit: seconds for generating the set.
        repeats: number of evaluation seeds; 0 skips scoring.
        students: names of students to train instead of the recipe's.
        device, backend: where to run, and how to train students.
        options: settings of the method by name.
        processes: number of processes that share the sampling.
        data, runs: folders of the real datasets, and of the saved runs.
        image_size: height and width in pixels that the pictures of a folder are resized to.
        test_split: name of a folder's test split, or the share of its images to hold out.
        isolate, memory_limit: as the options of the command ``ddbench run``.
        progress: called with (phase, done, total).

    Raises:
        UserError: an argument is wrong, or data or a device is missing.
        RunFailed: the status is not ``ok``.
    """
    request = replace(
        _scoring(track, repeats, students, device, backend, data, runs, isolate),
        memory_limit=memory_limit,
        method=str(method),
        dataset=_dataset(dataset, image_size, test_split),
        ipc=ipc,
        seed=seed,
        time_limit=time_limit,
        options=_options(options or {}),
        processes=processes,
    )
    return finished(lambda: _run(request), progress)


def _run(request: Request) -> Path:
    """Run the only plan of a request; return the folder of the run."""
    from benchmark_adapters.runs import pipeline
    from benchmark_adapters.runs.request import plan_runs

    (plan,) = _only(plan_runs(request, installed_plugins()), request.track)
    return pipeline.run(plan)


def score(
    path: PathText | Record,
    format: str | None = None,
    track: PathText | None = None,
    name: str | None = None,
    dataset: PathText | None = None,
    *,
    recipe: str | None = None,
    seed: int | None = None,
    repeats: int | None = None,
    students: Sequence[str] | str = (),
    device: Device = "auto",
    backend: Backend = "auto",
    max_seconds: float = MAX_SCORE_SECONDS,
    max_memory: float | None = None,
    data: PathText | None = None,
    runs: PathText = "runs",
    image_size: int | None = None,
    test_split: str | float | None = None,
    isolate: Isolate = "auto",
    progress: Progress = silent,
) -> Record:
    """Score the set of one team for one dataset, or score the images of a run again.

    Args:
        path: a file, a folder or a zip archive; or a run: its record, its folder or the beginning
            of its id.
        format: the format of files; None: that which the names of the files tell.
        track, name: the track, and the team; both are required for files.
        recipe: recipe to train students with; None: the track's.
        seed: the first evaluation seed; None: that of the run, or 0 for files.
        max_seconds: time limit of the process that scores.
        max_memory: memory limit of each process in GiB; None: three quarters of the memory.
        image_size: resize the pictures of the set, and those of the dataset if it is a folder.
        others: as in `run`.

    Returns:
        The record of the new run.

    Raises:
        UserError, RunFailed: as in `run`; a set that is not valid has another status than ``ok``.
    """
    from benchmark_adapters.execution.sandbox import Limits
    from benchmark_adapters.runs import inbox, submissions

    plugins, named = installed_plugins(), _dataset_of_set(dataset, image_size, test_split)
    path = path.run_id if isinstance(path, Record) else path
    if format is None and not inbox.are_files(Path(path)):
        submission = inbox.of_named_run(str(path), [Path(runs)], name, image_size, named)
    else:
        submission = _files(plugins, Path(path), format, track, name, named, image_size)
    track = track or (submission.record.track if submission.record else "")
    request = replace(
        _scoring(track, repeats, students, device, backend, data, runs, isolate),
        dataset=named,
        recipe=recipe,
        limits=Limits.of(max_seconds, max_memory),
    )
    scoring = submissions.score(submission, request, plugins, first_seed=seed)
    return finished(lambda: next(scoring), progress)


def _files(
    plugins: Plugins,
    path: Path,
    format: str | None,
    track: PathText | None,
    name: str | None,
    dataset: str | None,
    image_size: int | None,
) -> Submission:
    """Return the files of a team for one dataset."""
    from benchmark_adapters.runs import inbox

    if track is None or name is None:
        raise UserError("scoring files needs the arguments track and name")
    rules = track_files.find(plugins, str(track))
    (only,) = [dataset] if dataset else _only(rules.datasets, str(track))
    wanted = track_files.find_dataset(plugins, rules, only)
    inbox.require_size(image_size, wanted)
    known = plugins.formats.require(format) if format else None
    (found,) = inbox.find_submissions(path, known, name, [wanted], plugins.formats)
    return replace(found, resizes=image_size is not None)


def check(
    path: PathText,
    format: str | None = None,
    dataset: PathText | None = None,
    *,
    track: PathText | None = None,
    data: PathText | None = None,
    image_size: int | None = None,
    test_split: str | float | None = None,
    isolate: Isolate = "auto",
) -> CheckResult:
    """Check a set from a stranger, in processes with limits; nothing in it is executed.

    Args:
        path: a file, a folder or a zip archive.
        format: name of the file format; None: that which the names of the files tell.
        dataset: the dataset that the set stands for; required.
        track: the track whose rules the set must follow: its datasets and images per class.
        image_size: resize the pictures of the set, and those of the dataset if it is a folder.
        data, test_split, isolate: as in `run`.

    Returns:
        The findings. ``is_fit`` says whether the set can be scored.

    Raises:
        UserError: an argument is wrong, or ``path`` does not exist.
    """
    from benchmark_adapters.execution.sandbox import Limits
    from benchmark_adapters.runs import inbox, submissions

    plugins = installed_plugins()
    known = plugins.formats.require(format) if format else None
    rules = track_files.find(plugins, str(track)) if track else None
    if dataset is None:
        raise UserError("name the dataset with the argument dataset")
    name = _dataset_of_set(dataset, image_size, test_split) or str(dataset)
    found = track_files.find_dataset(plugins, rules, name)
    inbox.require_size(image_size, found)
    folder, limits = Path(data) if data else None, Limits(MAX_CHECK_SECONDS, isolate=isolate)
    resizes = image_size is not None
    return submissions.check(Path(path), known, found, folder, limits, rules, resizes)


def installed_plugins() -> Plugins:
    """Return all plugins; warn about those that can't be used."""
    from benchmark_adapters.execution import discovery

    installed = discovery.installed()
    for line in installed.skipped:
        warnings.warn(line, stacklevel=3)
    return installed


def _options(given: Mapping[str, Any]) -> list[str]:
    """Return options as the command line has them; None stands for an option that isn't given."""
    return [f"{name}={_text(value)}" for name, value in given.items() if value is not None]


def _text(value: object) -> str:
    """Return the value of an option as the command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _dataset_of_set(
    name: PathText | None, size: int | None, test: str | float | None
) -> str | None:
    """Return the text that names the dataset of a set."""
    from benchmark_adapters.runs import inbox

    return inbox.dataset_text(_dataset(name, None, None), size, test)


def _dataset(name: PathText | None, size: int | None, test: str | float | None) -> str | None:
    """Return the text that names a dataset, with the settings of a folder."""
    if name is None:
        if size is not None or test is not None:
            raise UserError("image_size and test_split need the argument dataset")
        return None
    text = name if isinstance(name, str) else f"{own_data.IMAGE_FOLDER}:{name}"
    return own_data.with_settings(text, size, test)


def _scoring(
    track: PathText,
    repeats: int | None,
    students: Sequence[str] | str,
    device: Device,
    backend: Backend,
    data: PathText | None,
    runs: PathText,
    isolate: Isolate,
) -> Request:
    """Return a request with what all commands that score have in common."""
    from benchmark_adapters.runs.request import Request

    return Request(
        track=str(track),
        repeats=repeats,
        students=(students,) if isinstance(students, str) else tuple(students),
        device=device,
        backend=backend,
        data=Path(data) if data else None,
        runs=Path(runs),
        isolate=isolate,
    )


def _only(found: Sequence[Any], track: str) -> Sequence[Any]:
    """Return the only item, one per dataset, in a sequence."""
    if len(found) != 1:
        raise UserError(f"track {track} has {len(found)} datasets; choose one with dataset=...")
    return found


def finished(make: Callable[[], Path], progress: Progress) -> Record:
    """Return the record in the folder that ``make`` returns.

    Raises:
        RunFailed: its status is not ``ok``.
        KeyboardInterrupt: the user stopped the run.
    """
    with listening.heard_by(progress):
        record = store.read(make())
    if record.interrupted:
        raise KeyboardInterrupt
    if record.status != "ok":
        raise RunFailed(record)
    return record
