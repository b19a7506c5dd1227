"""Runs folders, append-only: ``<runs>/<track>/<dataset>/<method>/<run-id>/record.json``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from leaderboard import files
from leaderboard.records.record import Record
from leaderboard.text import one_line

RECORD = "record.json"
ABANDONED_AFTER = 3600.0  # seconds
# With 1,000 classes, the confusion matrix of a record takes 10 MB.
MAX_BYTES = 16 * 2**20


@contextlib.contextmanager
def new_run(runs: Path, track: str, dataset: str, method: str) -> Iterator[Path]:
    """Yield a hidden folder that becomes a run if the block succeeds and is deleted otherwise.

    Its name is ``.<run-id>``. `run_id` returns the id, and `final` the folder that it becomes.
    Folders that killed processes left next to it are deleted.

    Raises:
        OSError: the folder can't be created.
    """
    name = time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + secrets.token_hex(3)
    folder = runs / track / dataset / method / f".{name}"
    folder.mkdir(parents=True)
    _remove_abandoned(folder.parent)
    try:
        with _locked(folder):
            yield folder
            folder.rename(final(folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock ``folder`` until the block finishes or the process exits for any reason.

    Yields False if another process holds the lock or the file system does not support locks.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except OSError:
        locked = False
    try:
        yield locked
    finally:
        os.close(descriptor)


def _remove_abandoned(parent: Path) -> None:
    """Delete hidden folders that no process has locked and that are at least an hour old.

    A younger folder may belong to a process that has not locked it yet.
    """
    for folder in parent.glob(".[0-9]*-*"):
        # Another process may delete it first.
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime < ABANDONED_AFTER:
                continue
            with _locked(folder) as locked:
                if locked:
                    shutil.rmtree(folder, ignore_errors=True)


def run_id(folder: Path) -> str:
    """Return the id of the run in ``folder``, whether it is finished or not."""
    return folder.name.removeprefix(".")


def final(folder: Path) -> Path:
    """Return the folder of the run in ``folder`` once the run is finished."""
    return folder.with_name(run_id(folder))


def runs_in(roots: Iterable[Path]) -> Iterator[Path]:
    """Yield the folders of all finished runs, oldest first."""
    folders = (path.parent for root in roots for path in root.glob(f"*/*/*/*/{RECORD}"))
    yield from sorted(
        (folder for folder in folders if not folder.name.startswith(".")),
        key=lambda folder: (folder.name, str(folder)),
    )


def read(folder: Path) -> Record:
    """Return the record of the run in ``folder``.

    Raises:
        ValueError: the record is missing, damaged, of a newer schema or far too large. The message
            names the file.
    """
    content = _content(folder)
    try:
        return Record.from_json(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder / RECORD}: {one_line(error)}") from None


def _content(folder: Path) -> bytes:
    """Return the bytes of the record in ``folder``.

    Raises:
        ValueError: it can't be read, is no regular file, or is far too large. The message names it.
    """
    path = folder / RECORD
    try:
        return files.read_bounded(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {one_line(error)}") from None


def remove(folder: Path) -> None:
    """Remove the run in ``folder``, and the folders above it that are empty then.

    Raises:
        OSError: it can't be removed.
    """
    # A run that is half removed must not be listed.
    doomed = folder.with_name(f".{folder.name}-removed")
    folder.rename(doomed)
    shutil.rmtree(doomed)
    for parent in list(folder.parents)[:3]:
        with contextlib.suppress(OSError):
            parent.rmdir()


def entries(roots: Iterable[Path]) -> tuple[list[tuple[Path, Record]], list[str]]:
    """Return folder and record of each run, oldest first, and a line for each unreadable one."""
    readable, problems = [], []
    for folder in runs_in(roots):
        try:
            readable.append((folder, read(folder)))
        except ValueError as error:
            problems.append(f"skipped {error}")
    return readable, problems


def find(run: str, roots: Iterable[Path]) -> Path:
    """Return the folder of ``run``, which is a folder, a run id, or the beginning of a run id.

    Ids are looked up below ``roots``. Copies of one run in several runs folders count as one.

    Raises:
        ValueError: no run matches, or more than one does.
    """
    if (Path(run) / RECORD).is_file():
        return Path(run)
    roots = list(roots)
    matches = [folder for folder in runs_in(roots) if folder.name.startswith(run)] if run else []
    if len(matches) > 1:
        copies = {(folder.name, _content(folder)): folder for folder in matches[::-1]}
        matches = list(copies.values())
    if len(matches) != 1:
        problem = f"{len(matches)} runs match {run!r}" if matches else f"no run {run!r}"
        places = ", ".join(map(str, roots))
        raise ValueError(f"{problem} in {places}; `ddbench runs` lists run ids")
    return matches[0]
