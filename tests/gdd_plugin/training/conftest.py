"""Fixtures for the tests of training."""

import pytest


@pytest.fixture
def no_plots():
    """Leave out the plots, a third of such short trainings; the shared model has them."""
    from gdd_plugin.training.run import TrainingRun

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "plot_losses", lambda self: None)
        yield
