"""Fixtures for sweeps on the track ``few``, with all work in this process."""

import pytest
from inline_engine import Inline

from benchmark_adapters.sweeps import tasks
from benchmark_adapters.sweeps.engines import local


@pytest.fixture
def inline(monkeypatch, methods_here, one_thread):
    """Return the engine that `ddbench sweep` uses instead of worker processes."""
    engine = Inline()
    tasks._plugins.cache_clear()
    monkeypatch.setattr(local, "Local", lambda workers: engine)
    yield engine
    tasks._plugins.cache_clear()


@pytest.fixture
def sweep(ddbench, example_folder, inline):
    """Return a function that calls `ddbench sweep` with the example plugin."""
    return lambda *words, **named: ddbench("sweep", *words, path=[example_folder], **named)
