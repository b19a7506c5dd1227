"""Show what runs, waits and failed: some lines on a terminal, otherwise a line for each task."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark_adapters import reporting
from benchmark_adapters.types import one_line
from leaderboard.text import duration, plural

# Tasks that are named at the same time on a terminal.
SHOWN = 4


@dataclass(frozen=True)
class State:
    """How far a sweep is.

    Attributes:
        finished, failed, runs: number of runs with a record, of those that are not ok, and of all.
        running: names of the tasks that are at work.
        shards: number of shards that are made, and of all; they are not among the runs.
        waiting: number of tasks that wait for a worker.
        seconds_left: an estimate from the time so far; None: nothing has finished yet.
    """

    finished: int
    failed: int
    runs: int
    running: Sequence[str]
    waiting: int
    seconds_left: float | None
    shards: tuple[int, int] = (0, 0)

    def line(self) -> str:
        """Return the state in one line."""
        parts = [f"{self.finished} of {self.runs} {plural(self.runs, 'run')}"]
        made, count = self.shards
        parts += [f"{made} of {count} {plural(count, 'shard')}"] if count else []
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{len(self.running)} at work, {self.waiting} waiting"]
        if self.seconds_left is not None and self.running:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)


class Table:
    """The table on stderr."""

    def __init__(self, bars: Sequence[Any]) -> None:
        self._bars = bars

    def show(self, state: State) -> None:
        """Show how far a sweep is, on a terminal."""
        if not self._bars:
            return
        first, *others = self._bars
        first.set_description_str(state.line(), refresh=False)
        first.update(state.finished - first.n)
        first.refresh()
        for bar, name in zip(others, [*state.running, *[""] * SHOWN], strict=False):
            bar.set_description_str(f"  {name}" if name else "")

    def finished(self, title: str, step: str, seed: tuple[str, int] | None, state: State) -> None:
        """Say that a task has ended, where there is no terminal."""
        if self._bars:
            self.show(state)
            return
        what = f"{title}, {seed[0]}, seed {seed[1]}" if seed else title
        reporting.say(f"ended {step} {one_line(what)}: {state.line()}")

    def say(self, text: str) -> None:
        """Print a line above the table, also if the user wants quiet."""
        if self._bars:
            self._bars[0].write(one_line(text), file=sys.stderr)
        else:
            print(one_line(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def shown(runs: int) -> Iterator[Table]:
    """Yield a table of so many runs, and clear it in the end."""
    bars: list[Any] = []
    if sys.stderr.isatty() and not reporting.is_quiet():
        from tqdm import tqdm

        form = "{desc} |{bar:20}| {elapsed}"
        bars.append(tqdm(total=runs, bar_format=form, leave=False))
        bars += [
            tqdm(bar_format="{desc}", position=number + 1, leave=False) for number in range(SHOWN)
        ]
    try:
        yield Table(bars)
    finally:
        for bar in bars[::-1]:
            bar.close()
