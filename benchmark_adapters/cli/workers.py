"""What ``ddbench sweep`` and ``ddbench score --engine`` have in common: engines and their tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchmark_adapters import environment, reporting
from benchmark_adapters.types import UserError

if TYPE_CHECKING:
    from benchmark_adapters.sweeps.engines.engine import Engine
    from benchmark_adapters.sweeps.jobs import Job

Command = TypeVar("Command", bound=Callable[..., Any])
MAX_WORKERS = 1024

ENGINES = click.Choice(["local", "ray"])
_OPTIONS = (
    click.option(
        "--workers",
        type=int,
        metavar="N",
        help="Tasks at a time on this machine. One that makes a set under a time limit runs alone."
        "  [default: 1]",
    ),
    click.option(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads that train one student.  [default: the cores of this machine, divided "
        "by --workers; 1 with Ray]",
    ),
    click.option(
        "--address", metavar="HOST:PORT", help="Address of a Ray cluster; auto: a running one."
    ),
)


def options(command: Command) -> Command:
    """Add the options of an engine, besides ``--engine``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check(engine: str, workers: int | None, address: str | None) -> None:
    """Raise `UserError` unless the options fit together."""
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise UserError(f"--workers {workers}: expected 1 to {MAX_WORKERS}")
    if address and engine != "ray":
        raise UserError("--address is for a Ray cluster: add --engine ray")
    if address and workers:
        raise UserError("--workers is for this machine: a cluster knows its own; leave it out")


def threads(engine: str, workers: int | None) -> int:
    """Return the default of ``--threads``."""
    return 1 if engine == "ray" else max(1, environment.usable_cores() // (workers or 1))


def carry_out(
    jobs: Sequence[Job], runs: Path, engine: str, workers: int | None, address: str | None
) -> None:
    """Make all runs, or as many as can be made; the jobs say what became of them.

    Raises:
        UserError: the engine can't be used, or another sweep works in the runs folder.
    """
    from benchmark_adapters.sweeps import table
    from benchmark_adapters.sweeps.coordinator import Coordinator
    from benchmark_adapters.sweeps.jobs import alone

    if not jobs:
        return
    with alone(runs), _engine(engine, workers, address, jobs) as at, table.shown(len(jobs)) as here:
        try:
            Coordinator(jobs, runs, at, here).run()
        except KeyboardInterrupt:
            reporting.say("interrupted; the same command goes on")
            raise


@contextlib.contextmanager
def _engine(
    name: str, workers: int | None, address: str | None, jobs: Sequence[Job]
) -> Iterator[Engine]:
    """Yield an engine, and kill what it still does in the end."""
    engine: Engine
    if name == "ray":
        from benchmark_adapters.sweeps.engines.ray_engine import Ray

        engine = Ray(address, workers, jobs)
    else:
        from benchmark_adapters.sweeps.engines.local import Local

        engine = Local(workers or 1)
    try:
        yield engine
    finally:
        engine.close()
