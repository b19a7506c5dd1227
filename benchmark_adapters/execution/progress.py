"""Show the progress of a run on stderr: one line per phase, and a bar or a line now and then.

A caller from Python gets it by a function instead, and nothing is printed.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from benchmark_adapters import listening, reporting
from benchmark_adapters.types import Recipe
from leaderboard.text import plural


def scored(done: int, total: int) -> None:
    """Tell the listener how many students are trained. Their own process shows a bar."""
    if listener := listening.listener():
        listener("scoring", done, total)


class HeardSampling:
    """The progress of a method, for a listener."""

    def __init__(self, listener: listening.Listener, ipc: int | None) -> None:
        self._listener, self._ipc, self._phase = listener, ipc, ""

    def show_images(self, count: int) -> None:
        """Report the number of images per class so far, unless the method reports phases."""
        if not self._phase:
            self._listener("sampling", count, self._ipc)

    def show_phase(self, name: str, done: int, total: int | None) -> None:
        """Report that ``done`` of ``total`` steps of a phase are finished."""
        self._phase = name
        self._listener(name, done, total)


class SamplingProgress:
    """The progress of a method: images per class, or the phase that it reports."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._phase = bar, ""

    def show_images(self, count: int) -> None:
        """Show the number of images per class so far, unless the method reports phases."""
        if not self._phase:
            self._bar.update(count - self._bar.n)

    def show_phase(self, name: str, done: int, total: int | None) -> None:
        """Show that ``done`` of ``total`` steps of a phase are finished; None: it has no end."""
        if name != self._phase:
            self._phase = name
            self._bar.unit = " steps"
            self._bar.set_description_str(name, refresh=False)
            self._bar.total = total
            # What is left is estimated from the speed of this phase.
            self._bar.reset(total)
        self._bar.total = total
        self._bar.update(done - self._bar.n)


@contextlib.contextmanager
def sampling(
    title: str, ipc: int | None, limit: float
) -> Iterator[SamplingProgress | HeardSampling]:
    """Yield the progress of a method, to be updated while it runs."""
    if listener := listening.listener():
        yield HeardSampling(listener, ipc)
        return
    wanted = "as many images per class as possible"
    if ipc is not None:
        wanted = f"{ipc} {plural(ipc, 'image')} per class"
    reporting.say(f"{title}: sampling {wanted} in at most {limit:g} s")
    with reporting.bar(total=ipc, desc="sampling", unit=" per class") as bar:
        yield SamplingProgress(bar)


@contextlib.contextmanager
def scoring(
    student: str, recipe: Recipe, seeds: int, is_quiet: bool = False
) -> Iterator[Callable[[int, int, int], None]]:
    """Yield a function to call with (index of the seed, done, total).

    A quiet process leaves the terminal to another one.
    """
    if is_quiet:
        yield lambda index, done, total: None
        return
    counted = f"{seeds} {plural(seeds, 'seed')}"
    reporting.say(f"scoring: {student} with recipe {recipe.name}, {counted}")
    unit = " steps" if recipe.schedule == "one-cycle" else " epochs"
    with reporting.bar(desc="training", unit=unit) as bar:

        def report(index: int, done: int, total: int) -> None:
            bar.total = seeds * total
            bar.set_description_str(f"seed {index + 1} of {seeds}", refresh=False)
            bar.update(index * total + done - bar.n)

        yield report
