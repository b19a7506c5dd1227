"""Fixtures with data folders."""

import pytest
from idx_files import idx

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST


@pytest.fixture(autouse=True)
def _no_files_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("DDBENCH_DATA", raising=False)
    monkeypatch.setattr(datasets, "user_folder", lambda: tmp_path / "user")


@pytest.fixture
def clothes(tmp_path):
    """Return a folder with five real test images as plain IDX files."""
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images[:5, 0]))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[:5]))
    return folder
