"""Folders of runs: ``<runs>/<track>/<dataset>/<method>/<run-id>/record.json``. Append-only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from leaderboard.records.record import Record

ABANDONED = 3600.0  # seconds
LARGEST = (
    32 * 2**20
)  # bytes of a record; that of a dataset with 1,000 classes has 10 MB of confusion


@contextlib.contextmanager
def new_run(runs: Path, track: str, dataset: str, method: str) -> Iterator[Path]:
    """A folder under a hidden name, which becomes a run when the block ends and vanishes when it raises.

    Its name is ``.<run-id>``; `run_id` gives the id, `final` the folder that it will be. What killed processes left beside it is removed.

    Raises:
        OSError: the folder can't be made.
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
    """A lock on ``folder`` that ends with the process, however that ends; False where another process has it, or there are no locks."""
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
    """Hidden folders that are an hour old, so that their process had its time to lock them, and that nobody has locked."""
    for folder in parent.glob(".[0-9]*-*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if time.time() - folder.stat().st_mtime < ABANDONED:
                continue
            with _locked(folder) as locked:
                if locked:
                    shutil.rmtree(folder, ignore_errors=True)


def run_id(folder: Path) -> str:
    return folder.name.removeprefix(".")


def final(folder: Path) -> Path:
    return folder.with_name(run_id(folder))


def runs_in(roots: Iterable[Path]) -> Iterator[Path]:
    """The folders of all finished runs, oldest first."""
    found = (path.parent for root in roots for path in root.glob("*/*/*/*/record.json"))
    yield from sorted(
        (folder for folder in found if not folder.name.startswith(".")),
        key=lambda folder: (folder.name, str(folder)),
    )


def read(folder: Path) -> Record:
    """The record of the run in ``folder``.

    Raises:
        ValueError: it is missing, damaged, newer than this version or far too large; the message names the file.
    """
    path = folder / "record.json"
    try:
        return Record.from_json(content(path, LARGEST).decode())
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def content(path: Path, most: int) -> bytes:
    """All of a file that may be a stranger's.

    Raises:
        OSError: it can't be read.
        ValueError: it is no ordinary file, as a pipe, which would never end; or has more than ``most`` bytes.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("no ordinary file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most / 2**20:.0f} MiB")
    return data


def entries(roots: Iterable[Path]) -> tuple[list[tuple[Path, Record]], list[str]]:
    """The folders and records of all runs, oldest first, and a line about each that can't be read."""
    good, problems = [], []
    for folder in runs_in(roots):
        try:
            good.append((folder, read(folder)))
        except ValueError as error:
            problems.append(f"skipped {error}")
    return good, problems


def find(run: str, roots: Iterable[Path]) -> Path:
    """The folder of ``run``: a folder, or the id of a run below ``roots``, or the beginning of just one, which may lie in several of them.

    Raises:
        ValueError: there is none, or more than one.
    """
    if (Path(run) / "record.json").is_file():
        return Path(run)
    roots = list(roots)
    found = [folder for folder in runs_in(roots) if folder.name.startswith(run)] if run else []
    matches = (
        list(
            {
                (folder.name, (folder / "record.json").read_bytes()): folder
                for folder in reversed(found)
            }.values()
        )
        if len(found) > 1
        else found
    )
    if len(matches) != 1:
        places = ", ".join(map(str, roots))
        raise ValueError(
            f"{'no run' if not matches else f'{len(matches)} runs'} {run!r} in {places}; `ddbench leaderboard` lists run ids"
        )
    return matches[0]
