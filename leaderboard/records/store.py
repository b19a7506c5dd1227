"""Runs folders, append-only: ``<runs>/<track>/<dataset>/<method>/<run-id>/record.json``."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leaderboard import files
from leaderboard.records.folders import Folders
from leaderboard.records.record import Record
from leaderboard.text import one_line

RECORD = "record.json"
# Suffix of the files of images.
IMAGES = ".safetensors"
# Folder in the runs folder with what interrupted runs are resumed from, by run id.
UNFINISHED = ".unfinished"
# Levels of folders between a runs folder and its runs, the run's own included.
DEPTH = 4
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
# With 1,000 classes, the confusion matrix of a record takes 10 MB.
MAX_BYTES = 16 * 2**20
Kind = Literal["run", "kept", "removal", "output"]


@dataclass(frozen=True)
class Leftover:
    """A hidden folder that a killed process left behind.

    Attributes:
        path: the folder.
        kind: ``run``: a run without a record; ``kept``: what such a run can be resumed from;
            ``removal``: a run that was being removed; ``output``: a page, an export or another file
            that was being written.
        size: size in bytes.
    """

    path: Path
    kind: Kind
    size: int


@contextlib.contextmanager
def new_run(runs: Path, track: str, dataset: str, method: str) -> Iterator[Path]:
    """Yield a hidden folder that becomes a run if the block succeeds.

    Its name is ``.<run-id>``. `run_id` returns the id, and `final` the folder that it becomes. If
    the block raises, the folder becomes a run if it has a record by then. Otherwise it is kept as
    it is if it holds images, and deleted if not. Folders without images that killed processes left
    next to it are deleted.

    Raises:
        OSError: the folder can't be created or written.
    """
    name = time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + secrets.token_hex(3)
    folder = runs / track / dataset / method / f".{name}"
    for other in files.listed(folder.parent):
        if _is_hidden_run(other.name) and not files.holds(other, IMAGES):
            files.remove_if_abandoned(other)
    # Until it is locked, it looks like something that a killed process left behind.
    folder.mkdir(parents=True)
    try:
        with files.locked(folder, waits=True):
            yield folder
            files.sync_tree(folder)
            _publish(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            if (folder / RECORD).is_file():
                _publish(folder)
        if not files.holds(folder, IMAGES):
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def reopened(folder: Path) -> Iterator[Path]:
    """Yield the hidden folder of a killed process; it becomes the run if the block succeeds.

    If the block raises, the folder stays as it is.

    Raises:
        OSError: the folder can't be created or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder, waits=True):
        yield folder
        files.sync_tree(folder)
        _publish(folder)


def write(folder: Path, record: Record) -> None:
    """Write the record of the run in ``folder``, in place of an earlier one.

    Raises:
        OSError: it can't be written.
    """
    with files.replacing(folder / RECORD) as temporary:
        temporary.write_text(record.to_json(), encoding="utf-8")


def _publish(folder: Path) -> None:
    folder.rename(final(folder))
    for parent in list(folder.parents)[:DEPTH]:
        files.sync(parent)


def run_id(folder: Path) -> str:
    """Return the id of the run in ``folder``, whether it is finished or not."""
    return folder.name.removeprefix(".")


def final(folder: Path) -> Path:
    """Return the folder of the run in ``folder`` once the run is finished."""
    return folder.with_name(run_id(folder))


def runs_in(roots: Iterable[Path]) -> Iterator[Path]:
    """Yield the folders of all finished runs, oldest first."""
    with found(roots) as (folders, _):
        yield from map(Path, folders)


@contextlib.contextmanager
def found(roots: Iterable[Path]) -> Iterator[tuple[Folders, list[str]]]:
    """Yield the folders of all finished runs, and a line for each folder that can't be a run."""
    problems: list[str] = []
    with Folders() as folders:
        folders.add(_finished(roots, problems))
        yield folders, problems


def _finished(roots: Iterable[Path], problems: list[str]) -> Iterator[str]:
    """Yield the folders of all finished runs, and add a line for each one that can't be a run."""
    # A missing runs folder has no runs.
    for root in filter(os.path.lexists, roots):
        for folder in _below(str(root), DEPTH, problems):
            if os.path.basename(folder).startswith("."):
                yield from map(str, _rescued(Path(folder)))
            elif os.path.lexists(f"{folder}/{RECORD}"):
                yield folder
            elif os.path.lexists(folder):
                problems.append(f"skipped {folder}: it has no {RECORD}")


def _below(folder: str, levels: int, problems: list[str]) -> Iterator[str]:
    """Yield the folders that many levels below ``folder``, and add a line for each unreadable one.

    Only those of the last level may be hidden.
    """
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        # Another process may have removed it, here and below.
        if os.path.lexists(folder):
            problems.append(f"skipped {folder}: {error.strerror}")
        return
    for entry in inside:
        # A path in the current folder has no dot in front.
        path, is_last = entry.path.removeprefix("./"), levels == 1
        if entry.name.startswith(".") and not (is_last and _is_hidden_run(entry.name)):
            continue
        try:
            # Unlike `os.DirEntry.is_dir`, this names broken links and loops.
            is_folder = stat.S_ISDIR(entry.stat().st_mode) if entry.is_symlink() else entry.is_dir()
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"skipped {path}: {error.strerror}")
            continue
        if is_folder:
            yield from [path] if is_last else _below(path, levels - 1, problems)
        elif is_last and RUN_ID.fullmatch(entry.name):
            problems.append(f"skipped {path}: it is not a folder")


def _is_hidden_run(name: str) -> bool:
    return name.startswith(".") and RUN_ID.fullmatch(name, 1) is not None


def _rescued(folder: Path) -> list[Path]:
    """Give a run its final name if its process was killed after it had written a record.

    Returns:
        The final folder; empty if there is no record, or if the process is alive.
    """
    if (folder / RECORD).is_file():
        # Another process may do the same, and the file system may be read-only.
        with contextlib.suppress(OSError), files.locked(folder) as is_locked:
            if is_locked:
                folder.rename(final(folder))
                return [final(folder)]
    return []


def leftovers(roots: Iterable[Path]) -> list[Leftover]:
    """Return what killed processes left in runs folders and right beside them.

    What a living process is writing is left out: a run, or with a sweep all runs of a folder. So is
    everything on file systems that do not support locks.
    """
    found: dict[Path, Leftover] = {}
    for root in roots:
        with contextlib.suppress(OSError), files.locked(root) as is_free:
            if not is_free:
                continue
        for path, kind in [*_hidden_below(root), *_hidden_beside(root)]:
            with contextlib.suppress(OSError), files.locked(path) as is_locked:
                if is_locked:
                    found.setdefault(path, Leftover(path, kind, files.size(path)))
    return list(found.values())


def _hidden_beside(root: Path) -> Iterator[tuple[Path, Kind]]:
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(root.parent)):
            if files.SCRATCH.match(name):
                yield root.parent / name, "output"


def _hidden_below(root: Path) -> Iterator[tuple[Path, Kind]]:
    """Yield the folders of unfinished runs and scratch folders in a runs folder."""
    for kept in files.listed(root / UNFINISHED):
        if not kept.is_symlink():
            yield kept, "kept"
    for parent, names, _ in os.walk(root):
        if Path(parent) == root and UNFINISHED in names:
            names.remove(UNFINISHED)
        holds_runs = len(Path(parent).relative_to(root).parts) == DEPTH - 1
        for name in sorted(names):
            if files.SCRATCH.match(name):
                names.remove(name)
                yield Path(parent, name), "removal" if holds_runs else "output"
            elif holds_runs and _is_hidden_run(name):
                names.remove(name)
                yield Path(parent, name), "run"


def clear(leftover: Path) -> None:
    """Remove a leftover, unless a process uses it by now.

    Raises:
        OSError: it can't be removed.
    """
    with files.locked(leftover) as is_locked:
        if is_locked:
            shutil.rmtree(leftover)


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
        reason = error.strerror if isinstance(error, OSError) else one_line(error)
        raise ValueError(f"{path}: {reason}") from None


def remove(folder: Path) -> None:
    """Remove the run in ``folder``, what it could be resumed from, and empty folders above it.

    Raises:
        OSError: it can't be removed.
    """
    # A run that is half removed must not be listed.
    doomed = files.scratch_name(folder)
    folder.rename(doomed)
    shutil.rmtree(doomed)
    for runs in list(folder.absolute().parents)[DEPTH - 1 : DEPTH]:
        shutil.rmtree(runs / UNFINISHED / folder.name, ignore_errors=True)
    for parent in list(folder.parents)[: DEPTH - 1]:
        with contextlib.suppress(OSError):
            parent.rmdir()


def entries(roots: Iterable[Path]) -> tuple[list[tuple[Path, Record]], list[str]]:
    """Return folder and record of each run, oldest first, and a line for each unreadable one."""
    with found(roots) as (folders, problems):
        return list(read_all(map(Path, folders), problems)), problems


def read_all(folders: Iterable[Path], problems: list[str]) -> Iterator[tuple[Path, Record]]:
    """Yield folder and record of each run, and add a line for each unreadable one."""
    for folder in folders:
        try:
            yield folder, read(folder)
        except ValueError as error:
            # Another process may have removed it.
            if os.path.lexists(folder):
                problems.append(f"skipped {error}")


def find(run: str, roots: Iterable[Path]) -> Path:
    """Return the folder of ``run``, which is a folder, a run id, or the beginning of a run id.

    Ids are looked up below ``roots``. Copies of one run in several runs folders count as one.

    Raises:
        ValueError: no run matches, or more than one does.
    """
    # Unlike `Path.is_file`, this takes names of any length.
    if os.path.isfile(Path(run) / RECORD):
        return Path(run)
    roots = list(roots)
    matches = [folder for folder in runs_in(roots) if folder.name.startswith(run)] if run else []
    if len(matches) > 1:
        copies = {(folder.name, _identity(folder)): folder for folder in matches[::-1]}
        matches = list(copies.values())
    if len(matches) != 1:
        problem = f"{len(matches)} runs match {run!r}" if matches else f"no run {run!r}"
        places = ", ".join(map(str, roots))
        raise ValueError(f"{problem} in {places}; `ddbench runs` lists run ids")
    return matches[0]


def _identity(folder: Path) -> bytes | Path:
    """Return the bytes of a record, or the folder if they can't be read."""
    try:
        return _content(folder)
    except ValueError:
        return folder
