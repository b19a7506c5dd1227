"""Compare two sides in one run. They alternate, and a table at the end shows their medians."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from tabulate import tabulate
from timing import seconds_of

LINES: list[dict[str, Any]] = []


@pytest.fixture
def show() -> Callable[..., None]:
    """Return a function that adds a row to the table."""

    def show(what: str, ours: str, against: str, ratio: str, goal: str) -> None:
        LINES.append({"what": what, "ours": ours, "against": against, "ratio": ratio, "goal": goal})

    return show


@pytest.fixture
def alternate(benchmark) -> Callable[..., tuple[float, float]]:
    """Return a function that measures the median seconds of ``ours`` and ``theirs``.

    Each call of ``ours`` follows a call of ``theirs``. One round of both warms up.
    """

    def alternate(
        ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 5
    ) -> tuple[float, float]:
        others = []

        def before() -> None:
            others.append(seconds_of(theirs))

        before()
        ours()
        others.clear()
        benchmark.pedantic(ours, setup=before, rounds=rounds)
        benchmark.extra_info["against_seconds"] = others
        return benchmark.stats.stats.median, statistics.median(others)

    return alternate


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Callable[..., object]]:
    """Return a function that calls another function in a separate process.

    Memory is managed there as it would be for users of a plain loop.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda *call: pool.submit(*call).result()


def pytest_terminal_summary(terminalreporter) -> None:
    if LINES:
        terminalreporter.write_line("")
        terminalreporter.write_line(tabulate(LINES, headers="keys", disable_numparse=True))
