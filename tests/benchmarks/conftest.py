"""Comparisons: both sides alternate in one run, medians are compared, a table at the end shows them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from tabulate import tabulate

LINES: list[dict[str, Any]] = []


@pytest.fixture
def show() -> Callable[..., None]:
    """Adds a line to the table at the end."""

    def show(what: str, ours: str, against: str, ratio: str, goal: str) -> None:
        LINES.append({"what": what, "ours": ours, "against": against, "ratio": ratio, "goal": goal})

    return show


@pytest.fixture
def alternate(benchmark) -> Callable[..., tuple[float, float]]:
    """Median seconds of ``ours`` and of ``theirs``, which is called before each call of ``ours``; one round of both warms up."""

    def alternate(
        ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 5
    ) -> tuple[float, float]:
        others = []

        def before() -> None:
            began = time.perf_counter()
            theirs()
            others.append(time.perf_counter() - began)

        before()
        ours()
        others.clear()
        benchmark.pedantic(ours, setup=before, rounds=rounds)
        against = statistics.median(others)
        benchmark.extra_info["against_seconds"] = others
        return benchmark.stats.stats.median, against

    return alternate


def pytest_terminal_summary(terminalreporter) -> None:
    if LINES:
        terminalreporter.write_line("")
        terminalreporter.write_line(tabulate(LINES, headers="keys", disable_numparse=True))
