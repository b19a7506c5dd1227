"""Go on with a run that was interrupted, from where it stood."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters import datasets
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs import pipeline, unfinished
from benchmark_adapters.runs.pipeline import Place, Scoring
from benchmark_adapters.runs.request import ScoringPlan, plan_runs, plan_scoring
from benchmark_adapters.runs.sources.method import MethodSource
from benchmark_adapters.runs.unfinished import Unfinished
from benchmark_adapters.types import UserError, one_line
from leaderboard.records import store
from leaderboard.records.record import Record, Session

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


def find(run: str | None, runs: Path) -> list[Unfinished]:
    """Return the runs that can be resumed, newest first, of those whose id begins with ``run``.

    Raises:
        UserError: there is none, or several ids begin with ``run``.
    """
    found = unfinished.entries(runs)[::-1]
    if run is None:
        if not found:
            raise UserError(f"no run in {runs} can be resumed; `ddbench runs` lists runs")
        return found
    name = Path(run).name
    matches = [one for one in found if name and one.run_id.startswith(name)]
    if len(matches) > 1:
        raise UserError(f"{len(matches)} runs that can be resumed match {run!r}; give more of it")
    if not matches:
        raise UserError(
            f"no run {run!r} in {runs} can be resumed: it is unknown, finished or still running; "
            "`ddbench runs` lists runs"
        )
    return matches


def resume(one: Unfinished, plugins: Plugins, scored: Scoring = pipeline.score) -> Path:
    """Go on with a run; return its folder, which is that of a new run if it has a record already.

    Sampling goes on with the images that are missing, in the time that is left. Scoring goes on
    with the seeds that are missing: ``scored`` does that.

    Raises:
        UserError: rules, code or machine have changed, its images are missing or changed, data or
            a device is not available, or the runs folder can't be written.
    """
    require_same_environment(one)
    one = replace(one, work=one.work.absolute())
    with folder_of(one):
        plan, source = plans(one, plugins)
        test = pipeline.test_images(plan)
        try:
            return _gone_on(one, plan, source, test, scored)
        except OSError as error:
            raise pipeline.unwritable(one.runs, one.run, error) from None


def _gone_on(
    one: Unfinished,
    plan: ScoringPlan,
    source: MethodSource | None,
    test: tuple[Array, Array],
    scored: Scoring,
) -> Path:
    """Sample and score what is missing; return the folder of the run.

    Raises:
        OSError: something can't be written.
        UserError: images are missing or changed, or the method can't be started.
    """
    with unfinished.reopened(one) as (folder, work):
        place = Place(folder, work)
        if one.draft:
            draft = _draft(one, one.draft, place, datasets.digest(*test))
            record = scored(plan.for_ipc(draft.ipc), draft, place, one.plan.is_untrusted)
        else:
            assert source
            source = replace(source, resumes=_old_id(one, folder))
            record = pipeline.make(plan, source, place, test, scored=scored)
        pipeline.save(record, folder)
        unfinished.end(work, record)
    return store.final(folder)


def _draft(one: Unfinished, draft: Record, place: Place, data_sha256: str) -> Record:
    """Return the record before the students that are missing are trained, and keep it.

    Raises:
        UserError: images have changed.
    """
    images = native.read_run(place.folder).sha256
    if (images, data_sha256) != (draft.images_sha256, draft.data_sha256):
        what = "images" if images != draft.images_sha256 else "test images"
        raise UserError(f"the {what} of run {one.run_id} have changed; run the command again")
    first = Session(one.plan.started, "reading")
    if one.plan.samples:
        used = draft.seconds.sampling or 0.0
        first = Session(one.plan.started, "sampling", used, draft.seed)
    now = Session(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "scoring")
    origin = replace(draft.origin, resumes=_old_id(one, place.folder) or draft.origin.resumes)
    draft = replace(
        draft,
        run_id=store.run_id(place.folder),
        origin=origin,
        sessions=[*(draft.sessions or [first]), now],
    )
    unfinished.keep_draft(place.work, draft)
    return draft


def _old_id(one: Unfinished, folder: Path) -> str | None:
    """Return the id of the run that a new one in ``folder`` goes on from; None: it is the same."""
    return one.run_id if store.run_id(folder) != one.run_id else None


def plans(one: Unfinished, plugins: Plugins) -> tuple[ScoringPlan, MethodSource | None]:
    """Plan the run again as it was planned.

    Raises:
        UserError: a rule or the method has changed, or something is not available.
    """
    request = replace(one.plan.request, runs=one.runs)
    source = None
    if one.plan.samples:
        (both,) = plan_runs(request, plugins)
        plan = both.scoring
        source = MethodSource(both.sampling, one.plan.reruns, one.plan.decided_options)
    else:
        (plan,) = plan_scoring(request, plugins)
    if unfinished.rules(plan, source) != one.plan.rules:
        raise UserError(
            f"the track, dataset, recipe or method of run {one.run_id} has changed since it began; "
            "run the command again"
        )
    return plan, source


def require_same_environment(one: Unfinished) -> None:
    """Raise `UserError` if versions or hardware are others than where the run began."""
    before, here = one.plan.environment, unfinished.here()
    for name in before.keys() | here.keys():
        if before.get(name) != here.get(name):
            then, now = (one_line(values.get(name, "none"), 50) for values in (before, here))
            raise UserError(
                f"run {one.run_id} began with {one_line(name, 50)} {then}, and here it is {now}; "
                "a record describes one environment: run the command again"
            )


@contextlib.contextmanager
def folder_of(one: Unfinished) -> Iterator[None]:
    """Work where the run began, because its request may have relative paths."""
    try:
        with contextlib.chdir(one.plan.folder):
            yield
    except FileNotFoundError as error:
        if error.filename != one.plan.folder:
            raise
        raise UserError(
            f"run {one.run_id} began in the folder {one_line(one.plan.folder)}, which is missing"
        ) from None


def describe(found: Sequence[Unfinished]) -> list[str]:
    """Return a line about each run: its id, what it is, and where it stood."""
    return [f"{one.run_id} ({' / '.join(one.plan.names)}, {one.stage})" for one in found]
