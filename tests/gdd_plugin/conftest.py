"""Fixtures for the tests of generative-turbo."""

import pytest


@pytest.fixture(scope="session")
def mini():
    """Return a sampler of the bundled model."""
    from gdd_plugin.models.one_step import TurboSampler

    return TurboSampler("turbo-mini")
