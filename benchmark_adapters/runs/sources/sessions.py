"""The sessions in which a method samples one set: one, or several if its run was interrupted.

A session is a folder ``1``, ``2``, ... with the batches, the events and the log of the method.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from benchmark_adapters import reporting
from benchmark_adapters.execution import journal
from benchmark_adapters.execution.batches import CorruptBatchError, read_labels
from benchmark_adapters.execution.messages import BatchWritten, Report
from benchmark_adapters.execution.outcome import Outcome, joined, record_event
from benchmark_adapters.execution.supervisor import BATCHES
from benchmark_adapters.files import new_folder, read_bounded
from benchmark_adapters.runs.request import SamplingPlan
from benchmark_adapters.types import UserError
from leaderboard.records.record import Session
from leaderboard.text import plural

NAME, LOG = "session.json", "log.txt"
MAX_BYTES = 2**20


@dataclass(frozen=True)
class Sampled:
    """What one session made, and when and with which seed.

    Attributes:
        reported: numbers of images and of freshly sampled ones that its files should have.
    """

    about: Session
    outcome: Outcome
    reported: tuple[int, int]


def begin(work: Path, number: int, seed: int) -> tuple[Path, Session]:
    """Create the folder of a new session in ``work``; return it, and what the record says of it.

    It appears with empty notes on its time: if this process is killed before the method starts, a
    session that made nothing must not cost the earlier ones.
    """
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    session = Session(started, "sampling", seed=seed)
    with new_folder(work / str(number)) as folder:
        (folder / NAME).write_bytes(msgspec.json.encode(session))
        (folder / journal.NAME).touch()
    return work / str(number), session


def seed(plan: SamplingPlan, earlier: Sequence[Sampled]) -> int:
    """Return the seed of the next session: that of the run, unless its images exist already.

    The n-th session after those with images has the first 7 hex digits of the SHA-256 of
    ``SEED/n``, so that no image repeats. Every random generator takes so small a number.
    """
    number = sum(bool(one.outcome.images) for one in earlier)
    digest = hashlib.sha256(f"{plan.seed}/{number}".encode()).hexdigest()
    return int(digest[:7], 16) if number else plan.seed


def read(work: Path, plan: SamplingPlan) -> list[Sampled]:
    """Return the sessions of a run that was interrupted; none if it has not begun.

    Batches that are damaged are left out.

    Raises:
        UserError: it is not known what a session made, or how long it took.
    """
    earlier: list[Sampled] = []
    while (folder := work / str(len(earlier) + 1)).is_dir():
        try:
            content = read_bounded(folder / NAME, MAX_BYTES, follows_links=False)
            about = msgspec.json.decode(content, type=Session)
            outcome, reported = _replayed(folder, plan)
        except (OSError, ValueError):
            raise UserError(
                f"the notes on session {folder.name} of the run are missing or damaged, "
                "so it can't be resumed; run the command again"
            ) from None
        earlier.append(Sampled(replace(about, used=outcome.used or 0.0), outcome, reported))
    return earlier


def _replayed(folder: Path, plan: SamplingPlan) -> tuple[Outcome, tuple[int, int]]:
    """Return what the processes of a session had made when it ended.

    Returns:
        The combined outcome, and the numbers of images and of sampled ones in its files.
    """
    outcomes = [Outcome() for _ in range(plan.processes)]
    events: dict[Path, BatchWritten] = {}
    used, is_closed, batches = 0.0, False, folder / BATCHES
    for entry in journal.read(folder):
        used, is_closed = max(used, entry.seconds), entry.is_last
        if entry.process >= len(outcomes):
            raise ValueError("an event of an unknown process")
        if entry.event:
            record_event(outcomes[entry.process], entry.event, entry.seconds, batches)
        if isinstance(entry.event, BatchWritten):
            events[batches / entry.event.file] = entry.event
    for outcome in outcomes:
        outcome.files = [[file for file in outcome.files[0] if _is_whole(file, events[file], plan)]]
    whole = [events[file] for outcome in outcomes for file in outcome.files[0]]
    together = joined(outcomes, plan.ipc is None)
    together.used = min(used if is_closed else used + journal.BEAT, plan.time_limit)
    return together, (sum(one.images for one in whole), sum(one.generated for one in whole))


def _is_whole(file: Path, event: BatchWritten, plan: SamplingPlan) -> bool:
    """Return whether a batch file has what was reported. Say so if not."""
    try:
        labels, generated = read_labels(file, plan.dataset)
    except CorruptBatchError as error:
        reporting.say(f"left out: {error}")
        return False
    if (len(labels), int(generated.sum())) != (event.images, event.generated):
        reporting.say(f"left out: {file.name} has other images than were reported")
        return False
    return True


def rest(plan: SamplingPlan, earlier: Sequence[Sampled]) -> SamplingPlan | None:
    """Return the plan of the next session: what is missing, in the time that is left.

    Each class gets as many images as the smallest one lacks.

    Returns:
        The plan; None: the set is complete, the time is used up, or the method ended by itself.
    """
    if not earlier:
        return plan
    files = [file for one in earlier for part in one.outcome.files for file in part]
    labels = [np.empty(0, np.int64), *(read_labels(file, plan.dataset)[0] for file in files)]
    there = int(np.bincount(np.concatenate(labels), minlength=plan.dataset.num_classes).min())
    missing = None if plan.ipc is None else plan.ipc - there
    left = plan.time_limit - sum(one.about.used for one in earlier)
    if earlier[-1].outcome.end or left <= 0 or (missing is not None and missing <= 0):
        return None
    wanted = "" if plan.ipc is None else f" of {plan.ipc}"
    images = f"{there}{wanted} {plural(plan.ipc or there, 'image')} per class"
    reporting.say(f"going on with {images} and {left:.1f} of {plan.time_limit:g} s left")
    return replace(plan, ipc=missing, time_limit=left, seed=seed(plan, earlier))


def combined(plan: SamplingPlan, sessions: Sequence[Sampled]) -> Outcome:
    """Return what all sessions made together, as if they had been one."""
    outcomes = [one.outcome for one in sessions]
    last = outcomes[-1]
    if len(outcomes) == 1 and last.end:
        return last
    parts = itertools.zip_longest(*(one.files for one in outcomes), fillvalue=[])
    load = sum(one.load or 0.0 for one in outcomes)
    report = Report()
    for one in outcomes:
        report = report.merged(one.report)
    used = min(sum(one.about.used for one in sessions), plan.time_limit)
    return Outcome(
        # Without an end of its own, there was nothing left to do, or no time.
        end=last.end or ("limit" if used >= plan.time_limit else "done"),
        message=f"the time limit of {plan.time_limit:g} s was reached"
        if last.end in (None, "limit")
        else last.message,
        interrupted=last.interrupted,
        files=[[file for files in part for file in files] for part in parts],
        sampled=sum(one.sampled for one in outcomes),
        images=sum(one.images for one in outcomes),
        load=load,
        last=load + sum(one.generate for one in outcomes),
        used=used,
        # The method counted the images of one session only.
        report=msgspec.structs.replace(report, sampled=None, sampling_seconds=None),
        used_real_data=any(one.used_real_data for one in outcomes),
        failed_processes=last.failed_processes,
    )


def ended(session: Session, outcome: Outcome) -> Sampled:
    """Return a session that has just ended."""
    used = outcome.used if outcome.used is not None else outcome.last or 0.0
    return Sampled(replace(session, used=used), outcome, (outcome.images, outcome.sampled))


def reported(sessions: Sequence[Sampled]) -> tuple[int, int]:
    """Return the numbers of images and of freshly sampled ones that all files should have."""
    return sum(one.reported[0] for one in sessions), sum(one.reported[1] for one in sessions)


def write_log(work: Path, path: Path) -> None:
    """Write what the method printed in all sessions, one after the other, as far as it is known."""
    folders = sorted(work.glob("[0-9]*"), key=lambda folder: int(folder.name))
    texts = []
    for folder in folders:
        text = b"lost, because the process was killed\n"
        with contextlib.suppress(OSError, ValueError):
            text = read_bounded(folder / LOG, MAX_BYTES, follows_links=False)
        title = f"--- session {folder.name} ---\n" if len(folders) > 1 else ""
        texts.append(title.encode() + text)
    # A full disk must not cost the images.
    with contextlib.suppress(OSError):
        path.write_bytes(b"".join(texts))
