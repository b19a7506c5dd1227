"""The standings of all runs in runs folders, with an index if there are many."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import msgspec

from leaderboard.analysis import contradictions, standing, verdicts
from leaderboard.analysis.board import Board
from leaderboard.analysis.demands import Demands
from leaderboard.analysis.standing import Standing
from leaderboard.records import index, store
from leaderboard.records.folders import Folders
from leaderboard.records.index import Index
from leaderboard.records.record import Record

# With fewer runs, reading all records takes less time than opening an index.
LEAST = 500
# Returns what each track demands, as far as it is known when these are all runs.
Known = Callable[[Iterable[Standing]], Mapping[str, Demands]]


@dataclass(frozen=True)
class Overview:
    """The standings of all runs, and what they were judged by.

    Attributes:
        board: the standings of the runs that could be read.
        demands: what each track demands.
        problems: a line for each run that could not be read.
    """

    board: Board
    demands: Mapping[str, Demands]
    problems: list[str]

    def record(self, run: Standing) -> Record | None:
        """Return the judged record of a run, from its file; None: it can't be read any more."""
        try:
            record = store.read(Path(run.folder))
        except ValueError:
            return None
        return verdicts.judge(record, self.demands.get(record.track), verdicts.present())

    def brief(self, run: Standing) -> Record | None:
        """Return what `record` does, without the confusion matrix, which takes most of the memory.

        Tables do not need it.
        """
        record = self.record(run)
        return record and replace(record, confusion=None)


@contextlib.contextmanager
def opened(roots: Sequence[Path], known: Known) -> Iterator[Overview]:
    """Yield the standings of all runs.

    Some tracks are known from the rules in all of their records alone. So their runs are judged
    once all records are known, unless the index holds that verdict.
    """
    with contextlib.ExitStack() as stack:
        found = {root: stack.enter_context(store.found([root])) for root in dict.fromkeys(roots)}
        problems = [line for _, lines in found.values() for line in lines]
        board = stack.enter_context(Board())
        indices: dict[Path, Index | None] = dict.fromkeys(found)
        if sum(len(folders) for folders, _ in found.values()) >= LEAST:
            indices = {root: stack.enter_context(index.opened(root)) for root in found}
        demands = known(())
        for root, (folders, _) in found.items():
            board.add(_read(folders, indices[root], demands, problems), root)
        demands = known(board.by_rules())
        for root, (folders, _) in found.items():
            with Folders() as outdated:
                outdated.add(board.outdated(root, _hashes(demands)))
                board.remove(outdated)
                board.add(_read(outdated, indices[root], demands, problems, rereads=True), root)
            if own := indices[root]:
                own.keep_only(folders)
        board.settle()
        yield Overview(board, demands, problems)


def _read(
    folders: Iterable[str],
    own: Index | None,
    demands: Mapping[str, Demands],
    problems: list[str],
    rereads: bool = False,
) -> Iterator[Standing]:
    """Yield the standing of each run, and add a line for each unreadable one.

    Args:
        folders: the folders of the runs.
        own: the index of their runs folder, if there is one.
        demands: what each track demands. Standings from the index count whatever they were judged
            by.
        problems: the lines.
        rereads: whether runs are read and judged even if they are in the index.
    """
    now = verdicts.present()
    hashes = _hashes(demands)
    rest = iter(folders)
    while step := list(islice(rest, index.MOST)):
        files = {folder: index.identity(folder) for folder in step} if own else {}
        runs = _indexed(own.look_up(files)) if own and not rereads else {}
        unread = (Path(folder) for folder in step if folder not in runs)
        new = {}
        for path, record in store.read_all(unread, problems):
            judged = verdicts.judge(record, demands.get(record.track), now)
            new[str(path)] = standing.of(judged, hashes.get(record.track, ""))
        if own:
            # Whether a date is in the future is another question tomorrow.
            today = now.strftime(contradictions.DATE)
            settled = {folder: run for folder, run in new.items() if run.created <= today}
            own.add(files, {folder: standing.pack(run) for folder, run in settled.items()})
        for folder, run in (runs | new).items():
            run.folder = folder
            yield run


def _indexed(extracts: Mapping[str, bytes]) -> dict[str, Standing]:
    """Return standings from the index. What another program put there does not count."""
    runs = {}
    for folder, extract in extracts.items():
        with contextlib.suppress(msgspec.MsgspecError):
            runs[folder] = standing.unpack(extract)
    return runs


def _hashes(demands: Mapping[str, Demands]) -> dict[str, str]:
    """Return a hash of what each track demands."""
    return {
        track: hashlib.sha256(repr(one).encode()).hexdigest()[:32] for track, one in demands.items()
    }
