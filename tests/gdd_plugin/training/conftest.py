"""Fixtures for the tests of training."""

import pytest


@pytest.fixture
def no_plots():
    """Skip the plots and most examples, which take half of the time. The shared model has them."""
    from gdd_plugin.training.run import TrainingRun

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "plot_losses", lambda self: None)
        patch.setattr("gdd_plugin.training.stages.student.EXAMPLES", 1)
        yield
