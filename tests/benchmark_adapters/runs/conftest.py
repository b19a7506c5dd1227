"""Fixtures for runs that are interrupted and go on."""

import signal

import pytest
import small_runs

from benchmark_adapters.execution import supervisor
from benchmark_adapters.execution.messages import BatchWritten
from benchmark_adapters.runs import resume
from benchmark_adapters.scoring import training
from leaderboard.records import store


@pytest.fixture
def run(example_plugins, tmp_path, monkeypatch):
    """Return a function that runs a method on the track few; it returns folder and record."""
    # Methods create this file before they fall asleep.
    monkeypatch.setenv("ASLEEP", str(tmp_path / "asleep"))
    return lambda method, **values: small_runs.run(example_plugins, tmp_path, method, **values)


@pytest.fixture
def go_on(example_plugins, tmp_path):
    """Return a function that resumes the newest run; it returns folder and record."""

    def resumed():
        # The method may have been interrupted before it fell asleep.
        (tmp_path / "asleep").touch()
        folder = resume.resume(resume.find(None, tmp_path / "runs")[0], example_plugins)
        return folder, store.read(folder)

    return resumed


@pytest.fixture
def interrupt_after(monkeypatch):
    """Return a function that interrupts the next run after as many batches."""
    take = supervisor._Run.take

    def interrupt(batches):
        def counted(self, worker, event):
            take(self, worker, event)
            written = sum(len(one.outcome.batches) for one in self.workers)
            if isinstance(event, BatchWritten) and written == batches:
                monkeypatch.setattr(supervisor._Run, "take", take)
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(supervisor._Run, "take", counted)

    return interrupt


class Trained:
    """The seeds that students were trained with, and how many of them before an interruption."""

    def __init__(self):
        self.seeds, self.until = [], None

    def interrupt_after(self, count):
        """Interrupt the training once, after students were trained with ``count`` seeds in all."""
        self.until = count


@pytest.fixture
def trained(monkeypatch):
    """Return the seeds that students are trained with."""
    log, train = Trained(), training.train

    def counted(net, images, labels, recipe, seed, *rest, **named):
        if len(log.seeds) == log.until:
            log.until = None
            raise KeyboardInterrupt
        log.seeds.append(seed)
        return train(net, images, labels, recipe, seed, *rest, **named)

    monkeypatch.setattr(training, "train", counted)
    return log
