"""Fixtures for the tests of models."""

import pytest


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """Return the folder of an empty Hub cache, without access to the Hub itself."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"
